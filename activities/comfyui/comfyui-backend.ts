import { isDeepStrictEqual } from 'node:util';
import type { ComfyUITarget } from '../../infra/runtime/comfyui-config.js';
import type { Logger } from '../../infra/runtime/logger.js';
import { checkHealth } from './check-health.js';
import type { ComfyUIClient } from './comfyui-client.js';
import { createComfyUIClient } from './comfyui-client.js';
import type { DiscoveredComfyUI } from './discover-comfyui.js';
import { discoverComfyUI } from './discover-comfyui.js';
import type { AddressAnswer } from './errors.js';
import {
  ComfyUIError,
  ComfyUIHttpError,
  ComfyUIUnreachableError,
  NoComfyUIError,
  NotComfyUIError,
  reasonOf,
} from './errors.js';
import { HistoryCanary } from './history-canary.js';
import { RenderingForecast } from './rendering-forecast.js';

/** What is known of a backend right now; `found` and `answers` exclude each other. */
export interface BackendSnapshot {
  readonly found: DiscoveredComfyUI | null;
  /** What each address said when none was usable. */
  readonly answers: readonly AddressAnswer[];
  readonly hasAnsweredBefore: boolean;
  /** How often it was found: more than once means that it was gone in between. */
  readonly timesFound: number;
}

/**
 * One ComfyUI as its worker sees it: found by discovery, forgotten at the first sign that it is gone, found again.
 * A cached address never outlives a failure (R2.3).
 */
export interface ComfyUIBackend {
  readonly backendId: string;
  /** When it will be through with what its queue holds, as far as this worker can tell. */
  readonly forecast: RenderingForecast;
  readonly canary: HistoryCanary;
  /** The client of the ComfyUI that answers now; discovers when none is known. Throws `NoComfyUIError`. */
  client(): Promise<ComfyUIClient>;
  /** Runs one exchange and forgets the address when it breaks. */
  use<T>(exchange: (client: ComfyUIClient) => Promise<T>): Promise<T>;
  snapshot(): BackendSnapshot;
  /** Called after every change of the snapshot. */
  onChange(listener: () => void): void;
  close(): Promise<void>;
}

interface Connected {
  readonly found: DiscoveredComfyUI;
  readonly client: ComfyUIClient;
}

export function createComfyUIBackend(options: {
  readonly backendId: string;
  readonly target: ComfyUITarget;
  readonly logger: Logger;
}): ComfyUIBackend {
  const { backendId, target, logger } = options;
  const [canary, forecast] = [new HistoryCanary(), new RenderingForecast()];
  const listeners: (() => void)[] = [];
  let snapshot: BackendSnapshot = { found: null, answers: [], hasAnsweredBefore: false, timesFound: 0 };
  let [connected, connecting]: [Connected | null, Promise<Connected> | null] = [null, null];
  const become = (next: Partial<BackendSnapshot>): void => {
    const before = snapshot;
    snapshot = { ...snapshot, ...next };
    // A backend that is down is looked for again and again, with the same answer: that is no news.
    if (snapshot.found === before.found && isDeepStrictEqual(snapshot.answers, before.answers)) return;
    for (const listener of listeners) listener();
  };
  const connect = async (): Promise<Connected> => {
    try {
      connected = await findHealthy(target);
      const { found } = connected;
      logger.info(
        { backendId, address: found.address.label, comfyui: found.version, device: found.deviceName },
        'Found ComfyUI',
      );
      become({ found, answers: [], hasAnsweredBefore: true, timesFound: snapshot.timesFound + 1 });
      return connected;
    } catch (error) {
      if (error instanceof NoComfyUIError) become({ found: null, answers: error.addresses });
      throw error;
    }
  };
  const client = async (): Promise<ComfyUIClient> => {
    if (connected !== null) return connected.client;
    connecting ??= connect().finally(() => (connecting = null));
    return (await connecting).client;
  };
  const forget = async (broken: ComfyUIClient, error: ComfyUIError): Promise<void> => {
    if (connected?.client !== broken) return; // somebody else was faster, and may have found it again
    connected = null;
    canary.forget();
    become({ found: null, answers: [{ address: broken.address.label, said: reasonOf(error) }] });
    logger.warn({ backendId, address: broken.address.label, err: error }, 'ComfyUI stopped answering');
    await broken.close();
  };

  return {
    ...{ backendId, client, canary, forecast },
    async use(exchange) {
      const current = await client();
      try {
        return await exchange(current);
      } catch (error) {
        if (error instanceof ComfyUIError && isGone(error)) await forget(current, error);
        throw error;
      }
    },
    snapshot: () => snapshot,
    onChange: (listener) => listeners.push(listener),
    close: async () => connected?.client.close(),
  };
}

/** Silence alone may be a blocked event loop: the address stays, the caller decides how long to wait. */
function isGone(error: ComfyUIError): boolean {
  if (error instanceof ComfyUIUnreachableError) return error.reachability === 'refused';
  // Another program has taken the port: ComfyUI has every route that is asked through `use`.
  return error instanceof NotComfyUIError || (error instanceof ComfyUIHttpError && [404, 405].includes(error.status));
}

async function findHealthy(target: ComfyUITarget): Promise<Connected> {
  const found = await discoverComfyUI(target);
  const client = createComfyUIClient(found.address);
  const health = await checkHealth(client.http);
  if (health.status === 'healthy') return { found, client };
  await client.close();
  throw new NoComfyUIError([{ address: found.address.label, said: `${health.status}: ${health.reason}` }]);
}
