import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dataFolderAt } from '../../infra/embedded/data-folder.js';
import { launch } from '../../infra/embedded/processes/launch.js';
import type { RunningProcess } from '../../infra/embedded/processes/process-spec.js';
import { serverParts } from '../../infra/embedded/start-servers.js';
import type { ServerPart } from '../../infra/embedded/start-servers.js';
import type { TestServers } from './stack.js';
import { objectStoreFrom, testServers } from './stack.js';

export const SERVER_NAMES = ['postgres', 'temporal', 'store'] as const;
export type ServerName = (typeof SERVER_NAMES)[number];

/** PostgreSQL, Temporal and the object store of one test, on free ports and a data folder of their own: it may kill them. */
export interface OwnServers {
  readonly servers: TestServers;
  /** By process id, with SIGKILL. */
  readonly kill: (name: ServerName) => Promise<void>;
  /** On the data that it had; resolves when it can be used. */
  readonly start: (name: ServerName) => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** `temporalCliPath`: the Temporal program, by default that of the test run. */
export async function startOwnServers(temporalCliPath = testServers().temporalCliPath): Promise<OwnServers> {
  const dataDir = mkdtempSync(join(tmpdir(), 'durable-comfy-servers-'));
  chmodSync(dataDir, 0o755); // as root PostgreSQL runs under another account, which must get in
  const folder = dataFolderAt(dataDir);
  const silent = { say: () => undefined, progress: () => undefined };
  const parts = await serverParts({
    env: { ...programSettings(), TEMPORAL_CLI_PATH: temporalCliPath },
    context: { folder, report: silent, killNow: new AbortController().signal },
    signal: AbortSignal.timeout(60_000),
    throwaway: true,
  });
  const settings = Object.assign({}, ...parts.map(({ env }) => env)) as Record<string, string>;
  const running = new Map<string, RunningProcess>();
  const partOf = (name: ServerName): ServerPart => {
    const specName = name === 'store' ? settings['OBJECT_STORE'] : name;
    const part = parts.find(({ spec }) => spec.name === specName);
    if (part === undefined) throw new Error(`There is no ${name} among ${parts.map(({ spec }) => spec.name).join()}`);
    return part;
  };
  const start = async (name: ServerName): Promise<void> => {
    const { spec } = partOf(name);
    const deadline = AbortSignal.timeout(spec.readyWithinMs);
    for (;;) {
      const process = launch(spec, folder);
      running.set(name, process);
      const over = new AbortController();
      const ready = spec.untilReady(process, AbortSignal.any([over.signal, deadline])).then(() => 'ready' as const);
      ready.catch(() => undefined);
      if ((await Promise.race([ready, process.exited])) === 'ready') return;
      over.abort(); // PostgreSQL does not start while children of the one that was killed are still going
      deadline.throwIfAborted();
    }
  };
  await Promise.all(SERVER_NAMES.map(start));
  return {
    servers: testServersOf(settings),
    start,
    kill: async (name) => {
      const process = running.get(name);
      process?.kill();
      await process?.exited;
    },
    stop: async () => {
      await Promise.all([...running.values()].map(async (each) => each.stop()));
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Settings for the programs that this test run has found. The program of the other store might be missing. */
function programSettings(): NodeJS.ProcessEnv {
  const passedOn = ['PATH', 'HOME', 'XDG_CACHE_HOME', 'MINIO_PATH', 'VERSITYGW_PATH'];
  const settings = Object.fromEntries(passedOn.map((name) => [name, process.env[name]]));
  return { ...settings, OBJECT_STORE: testServers().objectStore };
}

function testServersOf(env: Readonly<Record<string, string>>): TestServers {
  const valueOf = (name: string) => env[name] ?? '';
  return {
    databaseUrl: valueOf('DATABASE_URL'),
    temporalAddress: valueOf('TEMPORAL_ADDRESS'),
    temporalUiUrl: valueOf('TEMPORAL_UI_URL'),
    temporalCliPath: valueOf('TEMPORAL_CLI_PATH'),
    objectStore: objectStoreFrom(valueOf('OBJECT_STORE')),
    s3: {
      endpoint: valueOf('S3_ENDPOINT'),
      accessKeyId: valueOf('S3_ACCESS_KEY_ID'),
      secretAccessKey: valueOf('S3_SECRET_ACCESS_KEY'),
      region: valueOf('S3_REGION'),
    },
  };
}
