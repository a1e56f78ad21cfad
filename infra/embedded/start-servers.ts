import { writeFileSync } from 'node:fs';
import { ResourceStack } from '../runtime/resource-stack.js';
import { stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import { orAborted } from './or-aborted.js';
import { choosePorts, DEFAULT_PORTS } from './choose-ports.js';
import type { PortName } from './choose-ports.js';
import { storePart } from './store-part.js';
import { findServerPrograms, missingServers } from './find-server-programs.js';
import { postgresServer } from './postgres/postgres-server.js';
import type { ProcessContext, ProcessSpec } from './processes/process-spec.js';
import { supervise } from './processes/supervise.js';
import type { Supervised } from './processes/supervise.js';
import { secretsOf } from './secrets.js';
import { temporalServer } from './temporal/temporal-server.js';

export interface ServerOptions {
  readonly env: Env;
  readonly context: ProcessContext;
  /** Stops waiting, building and downloading. */
  readonly signal: AbortSignal;
  /** For tests: any free ports, nothing flushed to disk, new namespaces usable at once. */
  readonly throwaway: boolean;
}

/** The servers that are running now, ours or the user's. */
export interface Servers {
  /** Settings with which our processes find them; what the user set stays as it is. */
  readonly env: Env;
  readonly givenUp: Promise<never>;
  readonly stop: () => Promise<void>;
}

/** PostgreSQL, Temporal and an object store: each one started unless the environment names one. */
export async function startServers(options: ServerOptions): Promise<Servers> {
  const started: Supervised[] = [];
  const resources = new ResourceStack();
  try {
    const parts = await serverParts(options);
    if (!options.throwaway) options.context.report.say(startingLine(parts));
    for (const spec of parts.map((part) => part.spec)) {
      const supervised = supervise(spec, options.context);
      resources.add(spec.name, () => supervised.stop());
      started.push(supervised);
    }
    await orAborted(Promise.all(started.map(({ ready }) => ready)), options.signal);
    return {
      env: Object.assign({}, options.env, ...parts.map(({ env }) => env)) as Env,
      givenUp: Promise.race([new Promise<never>(() => undefined), ...started.map(({ givenUp }) => givenUp)]),
      stop: async () => void (await resources.release()),
    };
  } catch (error) {
    await resources.release();
    throw error;
  }
}

/** One server: how it is run, and by which settings ours find it. */
export interface ServerPart {
  readonly spec: ProcessSpec;
  readonly env: Env;
}

/** What the environment does not name, in the order of its start; it is stopped the other way round. */
export async function serverParts(options: ServerOptions): Promise<readonly ServerPart[]> {
  const { env, context, throwaway, signal } = options;
  const missing = missingServers(env);
  // Programs first: when one cannot be obtained, nothing has been started in vain.
  const { temporal, store } = await findServerPrograms(context.folder, { env, report: context.report, signal });
  const ports = await choosePorts(
    [
      ...(missing.postgres ? (['postgres'] as const) : []),
      ...(missing.temporal ? (['temporal', 'temporalUi'] as const) : []),
      ...(store === null ? [] : [store.name]),
    ],
    { folder: context.folder, wanted: {}, anyFree: throwaway, say: context.report.say },
  );
  const portOf = (name: PortName) => ports[name] ?? DEFAULT_PORTS[name];
  return [
    ...(missing.postgres ? [await postgresPart(options, portOf('postgres'))] : []),
    ...(temporal === null
      ? []
      : [temporalPart(options, { program: temporal, port: portOf('temporal'), uiPort: portOf('temporalUi') })]),
    ...(store === null ? [] : [storePart(options, { ...store, port: portOf(store.name) })]),
  ];
}

async function postgresPart({ context, throwaway }: ServerOptions, port: number): Promise<ServerPart> {
  const { folder, report } = context;
  const { url, spec } = await postgresServer({
    folder: folder.path('postgres'),
    port,
    password: secretsOf(folder).postgresPassword,
    throwaway,
    say: report.say,
  });
  return { spec, env: { DATABASE_URL: url } };
}

function temporalPart(
  { context, env, throwaway }: ServerOptions,
  server: { readonly program: string; readonly port: number; readonly uiPort: number },
): ServerPart {
  const namespace = stringFrom(env, 'TEMPORAL_NAMESPACE', 'default');
  const databaseFile = context.folder.path('temporal', 'temporal.db');
  const spec = temporalServer({ ...server, env, namespace, databaseFile, throwaway });
  // A file without settings: a profile in the user's home may hold the TLS and key of another server. The profile itself
  // must be there, Temporal's library does not take an empty file.
  const settings = context.folder.path('temporal', 'client.toml');
  writeFileSync(settings, '[profile.default]\n');
  return {
    spec,
    env: {
      TEMPORAL_ADDRESS: `127.0.0.1:${server.port}`,
      TEMPORAL_NAMESPACE: namespace,
      TEMPORAL_UI_URL: `http://127.0.0.1:${server.uiPort}`,
      TEMPORAL_CONFIG_FILE: settings,
      TEMPORAL_CLI_PATH: server.program, // the same program is the command line
    },
  };
}

function startingLine(parts: readonly ServerPart[]): string {
  const names = parts.map(({ spec }) => spec.name);
  return names.length === 0 ? 'All servers are your own: none is started' : `Starting ${names.join(', ')}`;
}
