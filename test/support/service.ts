import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { projectRoot } from '../../infra/runtime/project-root.js';
import { createTestBucket, createTestDatabase, createTestNamespace, testServers } from './stack.js';
import { until } from './until.js';

/** A generation as the API shows it; only what tests look at. */
export interface SeenGeneration {
  readonly id: string;
  readonly status: string;
  readonly asked: Readonly<Record<string, unknown>>;
  readonly attempts: readonly { readonly kind: string; readonly strategy: string }[];
  readonly queue: { readonly position: number; readonly reason?: string | null } | null;
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
  readonly killWorker: () => Promise<void>;
  readonly startWorker: () => Promise<void>;
  readonly post: (path: string, body?: unknown, headers?: Readonly<Record<string, string>>) => Promise<Response>;
  readonly submit: (body: unknown) => Promise<SeenGeneration>;
  readonly get: (id: string) => Promise<SeenGeneration>;
  readonly untilStatus: (id: string, status: string, timeoutMs?: number) => Promise<SeenGeneration>;
  readonly stop: () => Promise<void>;
}

const READY_WITHIN_MS = 30_000;

export async function startService(options: {
  readonly comfyUrls: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}): Promise<Service> {
  const servers = testServers();
  const [databaseUrl, bucket, namespace] = await Promise.all([
    createTestDatabase(),
    createTestBucket(),
    createTestNamespace(),
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
    ...options.env,
  };
  const spawnNode = (name: string, main: string) => startNode({ name, main, env, dataDir });
  const api = await spawnNode('api', 'api/main.js');
  let worker = await spawnNode('worker', 'workers/main.js').catch(async (error: unknown) => {
    await api.end('SIGKILL'); // a child that is left behind keeps Jest alive
    throw error;
  });
  const connection = await Connection.connect({ address: servers.temporalAddress });
  const temporal = new Client({ connection, namespace });

  const get = async (id: string) => (await (await fetch(`${api.url}/v1/generations/${id}`)).json()) as SeenGeneration;
  const post: Service['post'] = async (path, body, headers) =>
    fetch(`${api.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  return {
    apiUrl: api.url,
    namespace,
    databaseUrl,
    bucket,
    temporal,
    workerLog: () => readFileSync(join(dataDir, 'worker.log'), 'utf8'),
    killWorker: async () => worker.end('SIGKILL'),
    startWorker: async () => {
      worker = await spawnNode('worker', 'workers/main.js');
    },
    post,
    get,
    submit: async (body) => {
      const response = await post('/v1/generations', body);
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
        throw new Error(`${String(error)}; it is ${JSON.stringify(await get(id))}`);
      }),
    stop: async () => {
      await Promise.all([api.end('SIGTERM'), worker.end('SIGTERM')]);
      await connection.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

interface NodeProcess {
  readonly url: string;
  readonly end: (signal: NodeJS.Signals) => Promise<void>;
}

async function startNode(options: {
  readonly name: string;
  readonly main: string;
  readonly env: Readonly<Record<string, string>>;
  readonly dataDir: string;
}): Promise<NodeProcess> {
  const child = fork(join(projectRoot, 'dist', options.main), {
    env: { ...options.env },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const log = createWriteStream(join(options.dataDir, `${options.name}.log`), { flags: 'a' });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
  });
  const url = await readyUrl(child, () => readFileSync(join(options.dataDir, `${options.name}.log`), 'utf8'));
  return {
    url,
    end: async (signal) => {
      child.kill(signal);
      await ended;
      log.end();
    },
  };
}

function readyUrl(child: ChildProcess, log: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`Not ready within ${READY_WITHIN_MS} ms:\n${log()}`));
    }, READY_WITHIN_MS);
    child.once('message', (message: { readonly url?: string }) => {
      clearTimeout(timer);
      resolve(message.url ?? '');
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`Ended with ${String(code)} before it was ready:\n${log()}`));
    });
  });
}
