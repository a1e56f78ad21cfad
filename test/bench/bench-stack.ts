import { Client, Connection } from '@temporalio/client';
import { choosePorts } from '../../infra/embedded/choose-ports.js';
import { dataFolderAt } from '../../infra/embedded/data-folder.js';
import { API, WORKER, nodeChildSpec } from '../../infra/embedded/node-child.js';
import type { ProcessContext } from '../../infra/embedded/processes/process-spec.js';
import { supervise } from '../../infra/embedded/processes/supervise.js';
import { startServers } from '../../infra/embedded/start-servers.js';
import type { Env } from '../../infra/runtime/env.js';
import { storageConfigFrom } from '../../infra/runtime/storage-config.js';
import { temporalConfigFrom } from '../../infra/runtime/temporal-connection.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { objectStoreFrom } from '../support/stack.js';
import type { TestServers } from '../support/stack.js';
import { say } from './print.js';
import type { BenchRun } from './section.js';

/** What the search for programs needs; nothing of how the reader's own service is configured. */
const PASSED_ON = [
  ...['PATH', 'HOME', 'XDG_CACHE_HOME', 'DOWNLOAD_ORIGIN'],
  ...['OBJECT_STORE', 'TEMPORAL_CLI_PATH', 'MINIO_PATH', 'VERSITYGW_PATH'],
];

export function benchEnv(): Env {
  return Object.fromEntries(PASSED_ON.map((name) => [name, process.env[name]]));
}

/** PostgreSQL, Temporal and the object store as `npm start` runs them: with their data on disk, flushed. */
export interface BenchServers {
  readonly env: Env;
  readonly context: ProcessContext;
  readonly temporal: Client;
}

export async function startBenchServers(run: BenchRun): Promise<BenchServers> {
  const context = contextOf(run);
  const servers = await startServers({ env: benchEnv(), context, signal: run.signal, throwaway: false });
  run.resources.add('servers', servers.stop);
  const { connection: options, namespace } = temporalConfigFrom(servers.env);
  const connection = await Connection.connect(options);
  run.resources.add('Temporal connection', async () => connection.close());
  return { env: servers.env, context, temporal: new Client({ connection, namespace }) };
}

/** The same for a service like those of the tests, with nothing flushed: where speed is not what is measured. */
export async function startBenchTestServers(run: BenchRun): Promise<TestServers> {
  const servers = await startServers({
    env: benchEnv(),
    context: contextOf(run),
    signal: run.signal,
    throwaway: true,
  });
  run.resources.add('servers', servers.stop);
  const { env } = servers;
  const storage = storageConfigFrom(env);
  return {
    databaseUrl: env['DATABASE_URL'] ?? '',
    temporalAddress: env['TEMPORAL_ADDRESS'] ?? '',
    temporalUiUrl: env['TEMPORAL_UI_URL'] ?? '',
    temporalCliPath: env['TEMPORAL_CLI_PATH'] ?? '',
    objectStore: objectStoreFrom(env['OBJECT_STORE']),
    s3: { ...storage, endpoint: storage.endpoint.href },
  };
}

function contextOf({ folder }: BenchRun): ProcessContext {
  return {
    folder: dataFolderAt(folder),
    report: { say: (line) => say(`  ${line}`), progress: () => undefined },
    killNow: new AbortController().signal,
  };
}

/** The service on these simulators: a worker with both roles and an API, as `npm start` runs them. */
export interface BenchService {
  readonly apiUrl: string;
  readonly simulators: readonly SimulatorProcess[];
  readonly stop: () => Promise<void>;
}

export async function startBenchService(
  { env, context }: BenchServers,
  run: BenchRun,
  options: { readonly simulators: number; readonly secondsPerStep: number; readonly env?: Env },
): Promise<BenchService> {
  const simulators = await Promise.all(
    Array.from({ length: options.simulators }, async () => startSimulator({ secondsPerStep: options.secondsPerStep })),
  );
  const { folder, report } = context;
  const { api: port } = await choosePorts(['api'], { folder, wanted: {}, anyFree: true, say: report.say });
  const serviceEnv: Env = {
    ...env,
    COMFYUI_URL: simulators.map(({ url }) => url).join(','),
    DATA_DIR: folder.root,
    LOG_LEVEL: 'warn',
    PORT: `${port ?? 0}`,
    ...options.env,
  };
  const children = [WORKER, API].map((child) => supervise(nodeChildSpec(child, serviceEnv), context));
  const stop = once(async () => {
    await Promise.all(children.map((child) => child.stop()));
    await Promise.all(simulators.map((simulator) => simulator.stop()));
  });
  run.resources.add('service', stop);
  await Promise.all(children.map(({ ready }) => ready));
  return { apiUrl: `http://127.0.0.1:${port ?? 0}`, simulators, stop };
}

/** A section stops its service itself; the end of the section stops it again. */
function once(stop: () => Promise<void>): () => Promise<void> {
  let stopping: Promise<void> | null = null;
  return async () => {
    stopping ??= stop();
    return stopping;
  };
}
