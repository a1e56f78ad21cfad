import { execFile } from 'node:child_process';
import { chownSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { EmbeddedError } from '../embedded-error.js';
import type { ProcessSpec } from '../processes/process-spec.js';
import { untilAnswers } from '../until-answers.js';
import { postgresBinaries } from './postgres-binaries.js';
import { postgresPlace } from './postgres-place.js';
import type { PostgresPlace } from './postgres-place.js';

const DATABASE = 'durable_comfy';
const USER = 'durable_comfy';
/** Settings of the user's own PostgreSQL (PGDATA, PGPORT, …) must not reach this one. */
const CLEAN_ENV = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C' };

export interface PostgresRequest {
  readonly folder: string;
  readonly port: number;
  readonly password: string;
  /** Tests throw the data away, and need no flush to disk. */
  readonly throwaway: boolean;
  readonly say: (line: string) => void;
}

export interface PostgresServer {
  readonly url: string;
  readonly spec: ProcessSpec;
}

/** A PostgreSQL of our own on loopback: the cluster is made when it is missing; the spec says how to run it. */
export async function postgresServer(request: PostgresRequest): Promise<PostgresServer> {
  const place = postgresPlace({ native: postgresBinaries(), folder: request.folder, say: request.say });
  const cluster = join(place.folder, 'cluster');
  if (!existsSync(join(cluster, 'PG_VERSION'))) await makeCluster(place, cluster, request.password);
  const url = `postgres://${USER}:${request.password}@127.0.0.1:${request.port}`;
  return { url: `${url}/${DATABASE}`, spec: specOf(place, { ...request, cluster, url }) };
}

function specOf(place: PostgresPlace, request: PostgresRequest & { cluster: string; url: string }): ProcessSpec {
  const settings = [
    `port=${request.port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=', // socket paths have a length limit that a deep checkout exceeds
    'max_connections=200', // API and worker keep a pool each; tests run several of both
    ...(request.throwaway ? ['fsync=off', 'full_page_writes=off'] : []),
  ];
  return {
    name: 'postgres',
    ...place.commandFor('postgres', ['-D', request.cluster, ...settings.flatMap((each) => ['-c', each])]),
    env: { ...CLEAN_ENV, TZ: 'UTC' },
    marker: request.cluster,
    speaksIpc: false,
    stopSignal: 'SIGINT', // "fast": SIGTERM would wait for every client to leave
    stopWithinMs: 15_000,
    readyWithinMs: 60_000, // recovery after a crash replays the write-ahead log
    untilReady: (_running, signal) => untilAnswers(() => ensureDatabase(request.url), signal),
  };
}

async function makeCluster(place: PostgresPlace, cluster: string, password: string): Promise<void> {
  const unfinished = `${cluster}.new`; // a start that is killed here leaves no half cluster
  const passwordFile = join(place.folder, 'password');
  rmSync(unfinished, { recursive: true, force: true });
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (place.account !== undefined) chownSync(passwordFile, place.account.uid, place.account.gid);
  const { command, args, account } = place.commandFor('initdb', [
    ...['-D', unfinished, '--username', USER, '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
    ...['--encoding', 'UTF8', '--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8', '--locale', 'C'],
  ]);
  try {
    await promisify(execFile)(command, args, { ...account, cwd: '/', env: CLEAN_ENV });
  } catch (error) {
    throw new EmbeddedError(`PostgreSQL's data folder could not be made: ${String(error)}`, { cause: error });
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(unfinished, cluster);
}

async function ensureDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: `${url}/postgres`, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined); // the server may go away while it starts; the next attempt sees it
  try {
    await client.connect();
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } catch (error) {
    throw isWrongPassword(error) ? new EmbeddedError(WRONG_PASSWORD, { cause: error }) : error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

const WRONG_PASSWORD =
  'PostgreSQL refuses the password in secrets.json: the file does not belong to this data. ' +
  'Put the original secrets.json back into the data folder, or move its "postgres" folder away to begin anew.';

function isWrongPassword(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '28P01';
}
