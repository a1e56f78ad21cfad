import type { Info } from '@temporalio/activity';
import { ActivityCancellationDetails, ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createComfyUIBackend } from '../../../activities/comfyui/comfyui-backend.js';
import type { ComfyUIBackend } from '../../../activities/comfyui/comfyui-backend.js';
import { createComfyUIClient } from '../../../activities/comfyui/comfyui-client.js';
import type { ComfyUIClient } from '../../../activities/comfyui/comfyui-client.js';
import { parseComfyUIAddress } from '../../../activities/comfyui/comfyui-address.js';
import { HistoryCanary } from '../../../activities/comfyui/history-canary.js';
import { RenderingForecast } from '../../../activities/comfyui/rendering-forecast.js';
import type { InputFiles } from '../../../activities/comfyui/input-files.js';
import type { ObjectStore } from '../../../activities/storage/object-store.js';
import type { ComfyUITarget } from '../../../infra/runtime/comfyui-config.js';
import type { RenderingHeartbeat } from '../../../workflows/contracts/generation.js';
import { createLogger } from '../../../infra/runtime/logger.js';

export const silentLogger = createLogger({ name: 'test', level: 'silent' });

/** An activity's surroundings without a log. */
export interface ActivityWorld {
  run<Input, Result>(activity: (input: Input) => Promise<Result>, input: Input): Promise<Result>;
  cancel(reason: 'CANCELLED' | 'WORKER_SHUTDOWN'): void;
  onHeartbeat<Beat = RenderingHeartbeat>(listener: (beat: Beat) => void): void;
}

export function environment(info: Partial<Info> = {}): ActivityWorld {
  const mock = new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR', () => undefined) });
  return {
    run: async <Input, Result>(activity: (input: Input) => Promise<Result>, input: Input) =>
      mock.run<[Input], Result, (input: Input) => Promise<Result>>(activity, input),
    cancel: (reason) => {
      const isShutdown = reason === 'WORKER_SHUTDOWN';
      const details = { workerShutdown: isShutdown, cancelRequested: !isShutdown };
      mock.cancel(reason, new ActivityCancellationDetails(details));
    },
    onHeartbeat: (listener) => {
      mock.on('heartbeat', listener);
    },
  };
}

const opened: { close(): Promise<void> }[] = [];

export function backendAt(target: string | ComfyUITarget, backendId = 'gpu-1'): ComfyUIBackend {
  const backend = createComfyUIBackend({
    backendId,
    target: typeof target === 'string' ? { kind: 'fixed', url: target } : target,
    logger: silentLogger,
  });
  opened.push(backend);
  return backend;
}

export function clientAt(url: string): ComfyUIClient {
  const client = createComfyUIClient(parseComfyUIAddress(url));
  opened.push(client);
  return client;
}

/** A backend that is known already: nothing is discovered. */
export function knownBackend(client: ComfyUIClient, backendId = 'gpu-1'): ComfyUIBackend {
  return {
    backendId,
    forecast: new RenderingForecast(),
    canary: new HistoryCanary(),
    client: async () => client,
    use: async (exchange) => exchange(client),
    snapshot: () => ({ found: null, answers: [], hasAnsweredBefore: true, timesFound: 1 }),
    onChange: () => undefined,
    close: async () => client.close(),
  };
}

/** For `afterEach`. */
export async function closeConnections(): Promise<void> {
  await Promise.all(opened.splice(0).map(async (one) => one.close()));
}

/** A store that holds what it was given to begin with; everything else about it fails. */
export function storeHolding(documents: Readonly<Record<string, unknown>>): ObjectStore {
  const unused = async (): Promise<never> => {
    throw new Error('This test has no object store');
  };
  return {
    objectsUnder: () => {
      throw new Error('This test has no object store');
    },
    readJson: async (key) => (key in documents ? { value: documents[key], etag: key } : null),
    ...{ writeJson: unused, putFile: unused, facts: unused, copy: unused, open: unused, keysUnder: unused },
    ...{ remove: unused, check: unused, createBucketIfAbsent: unused },
  };
}

/** Of graphs that name no files. */
export const NO_INPUTS: InputFiles = {
  bring: async () => undefined,
  forget: () => undefined,
};

/** The failure that an activity ends with; anything else fails the test. */
export async function failureOf(run: Promise<unknown>): Promise<ApplicationFailure> {
  try {
    const result = await run;
    throw new Error(`The activity succeeded with ${JSON.stringify(result)}`);
  } catch (error) {
    if (error instanceof ApplicationFailure) return error;
    throw error;
  }
}

/** What the failure carries for machines. */
export function factsOf(failure: ApplicationFailure): Readonly<Record<string, unknown>> {
  return (failure.details?.[0] ?? {}) as Readonly<Record<string, unknown>>;
}
