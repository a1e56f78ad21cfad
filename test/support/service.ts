import { FFMPEG_PATH } from './ffmpeg.js';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { STOPPED_LATE } from '../../infra/runtime/stop-in-time.js';
import type { CheckedSystem } from './checker/check-invariants.js';
import { expectClean } from './checker/expect-clean.js';
import { LOG_LINES, startNode } from './node-process.js';
import type { NodeProcess, ProcessEnd } from './node-process.js';
import { createTestBucket, createTestDatabase, createTestNamespace, testServers } from './stack.js';
import type { TestServers } from './stack.js';
import { until } from './until.js';

/** A generation as the API shows it; only what tests look at. */
export interface SeenGeneration {
  readonly id: string;
  readonly status: string;
  readonly asked: Readonly<Record<string, unknown>>;
  readonly delivered: Readonly<Record<string, unknown>> | null;
  readonly provider: string;
  readonly attempts: readonly { readonly kind: string; readonly strategy: string; readonly before: unknown }[];
  readonly abandonedRenderings: number;
  readonly queue: { readonly position: number; readonly reason?: string | null } | null;
  readonly fallbackObstacle: string | null;
  readonly progress: { readonly percent: number; readonly step: number | null } | null;
  readonly error: { readonly kind: string; readonly code: string; readonly detail: string } | null;
  readonly outputs: readonly {
    readonly index: number;
    readonly kind: string;
    readonly mediaType: string;
    readonly bytes: number;
    readonly sha256: string;
    readonly width: number;
    readonly height: number;
    readonly url: string;
  }[];
}

/** API and worker as processes of their own, on a database, a bucket and a Temporal namespace of their own. */
export interface Service {
  readonly apiUrl: string;
  readonly namespace: string;
  readonly databaseUrl: string;
  readonly bucket: Awaited<ReturnType<typeof createTestBucket>>;
  readonly temporal: Client;
  readonly workerLog: () => string;
  readonly dataDir: string;
  readonly killApi: (signal?: NodeJS.Signals) => Promise<ProcessEnd>;
  /** On the port it had. */
  readonly startApi: (env?: Readonly<Record<string, string>>) => Promise<void>;
  readonly apiEnded: () => Promise<ProcessEnd>;
  readonly workerPid: () => number;
  readonly signalWorker: (signal: NodeJS.Signals) => void;
  readonly killWorker: (signal?: NodeJS.Signals) => Promise<ProcessEnd>;
  /** With settings of its own for this life of the worker, such as `CRASH_AT`. */
  readonly startWorker: (env?: Readonly<Record<string, string>>) => Promise<void>;
  /**
   * One worker more, with settings of its own; rejects with its log when it does not become ready. Whoever starts it ends
   * it before the service stops.
   */
  readonly startOther: (name: string, env: Readonly<Record<string, string>>) => Promise<NodeProcess>;
  /** Resolves when the worker that runs now has ended by itself; throws its log when it does not. */
  readonly workerEnded: () => Promise<ProcessEnd>;
  readonly post: (path: string, body?: unknown, headers?: Readonly<Record<string, string>>) => Promise<Response>;
  readonly submit: (body: unknown, headers?: Readonly<Record<string, string>>) => Promise<SeenGeneration>;
  readonly get: (id: string) => Promise<SeenGeneration>;
  readonly untilStatus: (id: string, status: string, timeoutMs?: number) => Promise<SeenGeneration>;
  /** What the checker of invariants looks at. */
  readonly checked: CheckedSystem & { readonly apiUrl: string };
  /** Cancels what is open, checks every invariant, and stops. Throws when one is broken. */
  readonly stop: () => Promise<void>;
  /** Stops a service that is broken on purpose. */
  readonly endUnchecked: () => Promise<void>;
}

export async function startService(options: {
  readonly comfyUrls: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** For the first life of the worker alone, such as `CRASH_AT`. */
  readonly firstWorkerEnv?: Readonly<Record<string, string>>;
  /** Another build than `dist/`: a copy that is broken on purpose. */
  readonly dist?: string;
  /** Servers of its own, which the test kills; else those of the whole run. */
  readonly servers?: TestServers;
}): Promise<Service> {
  const { servers = testServers() } = options;
  const [databaseUrl, bucket, namespace] = await Promise.all([
    createTestDatabase(servers),
    createTestBucket(servers),
    createTestNamespace(servers),
  ]);
  const dataDir = mkdtempSync(join(tmpdir(), 'durable-comfy-service-'));
  const env = {
    PATH: process.env['PATH'] ?? '',
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: servers.temporalAddress,
    TEMPORAL_NAMESPACE: namespace,
    TEMPORAL_UI_URL: servers.temporalUiUrl,
    S3_ENDPOINT: servers.s3.endpoint,
    S3_ACCESS_KEY_ID: servers.s3.accessKeyId,
    S3_SECRET_ACCESS_KEY: servers.s3.secretAccessKey,
    S3_BUCKET: bucket.bucket,
    COMFYUI_URL: options.comfyUrls.join(','),
    DATA_DIR: dataDir,
    PORT: '0',
    FFMPEG_PATH,
    HEARTBEAT_TIMEOUT_SECONDS: '5', // a third of the default, because tests that kill a worker wait until it is missed
    ...options.env,
  };
  const spawnNode = (name: string, program: string, extra: Readonly<Record<string, string>> = {}) =>
    startNode({
      ...{ name, program, env: { ...env, ...extra }, logDir: dataDir },
      ...(options.dist !== undefined && { dist: options.dist }),
    });
  // At the same time, because each needs a second of processor time and neither needs the other.
  let { api, worker } = await bothStarted({
    api: spawnNode('api', 'api/main'),
    worker: spawnNode('worker', 'workers/main', options.firstWorkerEnv),
  });
  const { url: apiUrl } = api;
  const spoolFolders = [join(dataDir, 'spool')];
  const connection = await Connection.connect({ address: servers.temporalAddress });
  const temporal = new Client({ connection, namespace });

  const get = async (id: string) => (await (await fetch(`${apiUrl}/v1/generations/${id}`)).json()) as SeenGeneration;
  const post: Service['post'] = async (path, body, headers) =>
    fetch(`${apiUrl}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  const service: Service = {
    apiUrl,
    namespace,
    databaseUrl,
    bucket,
    temporal,
    workerLog: () => readFileSync(join(dataDir, 'worker.log'), 'utf8'),
    dataDir,
    killApi: async (signal = 'SIGKILL') => api.end(signal),
    startApi: async (extra) => {
      api = await spawnNode('api', 'api/main', { PORT: new URL(apiUrl).port, ...extra });
    },
    apiEnded: async () => api.ended(),
    workerPid: () => worker.pid,
    signalWorker: (signal) => {
      process.kill(worker.pid, signal);
    },
    killWorker: async (signal = 'SIGKILL') => worker.end(signal),
    startWorker: async (extra) => {
      worker = await spawnNode('worker', 'workers/main', extra);
    },
    startOther: async (name, extra) => {
      spoolFolders.push(join(dataDir, name, 'spool'));
      return spawnNode(name, 'workers/main', { DATA_DIR: join(dataDir, name), ...extra });
    },
    workerEnded: async () => worker.ended(),
    post,
    get,
    submit: async (body, headers) => {
      const response = await post('/v1/generations', body, headers);
      if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
      return (await response.json()) as SeenGeneration;
    },
    untilStatus: async (id, status, timeoutMs = 20_000) =>
      until(
        `generation ${id} becomes ${status}`,
        async () => {
          const seen = await get(id);
          return seen.status === status ? seen : null;
        },
        timeoutMs,
      ).catch(async (error: unknown) => {
        const log = service.workerLog().split('\n').slice(-LOG_LINES).join('\n');
        throw new Error(`${String(error)}; it is ${JSON.stringify(await get(id))}; the worker's last words:\n${log}`);
      }),
    checked: {
      ...{ databaseUrl, storage: bucket, temporal, comfyUrls: options.comfyUrls, apiUrl },
      spoolFolders,
    },
    stop: async () => {
      try {
        await expectClean(service.checked);
      } finally {
        await service.endUnchecked();
      }
    },
    endUnchecked: async () => {
      await Promise.all([api.end('SIGTERM'), worker.end('SIGTERM')]);
      await connection.close();
      const late = ['api', 'worker'].filter((name) =>
        readFileSync(join(dataDir, `${name}.log`), 'utf8').includes(STOPPED_LATE),
      );
      if (late.length > 0) throw new Error(`${late.join(' and ')} did not stop in time; the logs are in ${dataDir}`);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  return service;
}

interface Starting {
  readonly api: Promise<NodeProcess>;
  readonly worker: Promise<NodeProcess>;
}

/** Both programs, or the first error once the other program has ended. A running child would keep Jest alive. */
async function bothStarted(starting: Starting): Promise<{ api: NodeProcess; worker: NodeProcess }> {
  try {
    return { api: await starting.api, worker: await starting.worker };
  } catch (error) {
    for (const outcome of await Promise.allSettled([starting.api, starting.worker])) {
      if (outcome.status === 'fulfilled') await outcome.value.end('SIGKILL');
    }
    throw error;
  }
}
