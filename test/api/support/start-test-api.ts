import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import type { Dispatcher } from 'undici';
import { apiConfigFrom } from '../../../api/api-config.js';
import { startApi } from '../../../api/start-api.js';
import { createObjectStore } from '../../../activities/storage/object-store.js';
import type { ObjectStore } from '../../../activities/storage/object-store.js';
import { openDatabase } from '../../../infra/postgres/database.js';
import type { Database } from '../../../infra/postgres/database.js';
import { createLogger } from '../../../infra/runtime/logger.js';
import type { Env } from '../../../infra/runtime/env.js';
import { ResourceStack } from '../../../infra/runtime/resource-stack.js';
import type { StorageConfig } from '../../../infra/runtime/storage-config.js';
import { createTestBucket, createTestDatabase, testServers } from '../../support/stack.js';

/** Where nothing listens: the discard port needs root. */
export const NOWHERE = '127.0.0.1:9';

export interface TestSetting {
  readonly databaseUrl: string;
  readonly storage: StorageConfig;
  readonly database: Database;
  readonly store: ObjectStore;
  /** Files and folders of what is on its way through an API. */
  scratchEntries(): Promise<number>;
  /** Starts one more API on this database and bucket; `env` overrides settings. */
  startApi(env?: Env): Promise<string>;
  release(): Promise<void>;
}

/** A migrated database and a bucket of one's own, and APIs on them. */
export async function createTestSetting(): Promise<TestSetting> {
  const resources = new ResourceStack();
  const logger = createLogger({ name: 'test-api', level: 'silent' });
  const [databaseUrl, storage] = [await createTestDatabase(), await createTestBucket()];
  const connection = openDatabase({ url: databaseUrl, poolSize: 5, onIdleError: () => undefined });
  resources.add('database', () => connection.close());
  const dataDir = await mkdtemp(join(tmpdir(), 'test-api-'));
  resources.add('data folder', async () => rm(dataDir, { recursive: true, force: true }));
  const settings: Env = {
    DATA_DIR: dataDir,
    HOST: '127.0.0.1',
    PORT: '0',
    DATABASE_URL: databaseUrl,
    S3_ENDPOINT: storage.endpoint.href,
    S3_ACCESS_KEY_ID: storage.accessKeyId,
    S3_SECRET_ACCESS_KEY: storage.secretAccessKey,
    S3_BUCKET: storage.bucket,
    TEMPORAL_ADDRESS: testServers().temporalAddress,
    TEMPORAL_UI_URL: 'http://temporal.test',
  };
  return {
    databaseUrl,
    storage,
    database: connection.database,
    store: createObjectStore(storage),
    scratchEntries: async () => (await readdir(join(dataDir, 'uploads'), { recursive: true })).length,
    async startApi(env = {}) {
      const { url } = await startApi({ config: apiConfigFrom({ ...settings, ...env }), logger, resources });
      return url;
    },
    async release() {
      const failures = await resources.release();
      if (failures.length > 0) throw new AggregateError(failures.map(({ error }) => error));
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The parsed body; `any` shape is asserted by the tests themselves. */
  readonly json: Json;
}

export type Json = Readonly<Record<string, unknown>>;

export interface Call {
  readonly method?: Dispatcher.HttpMethod;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** One request over a real socket; undici's `request` sends any header, which `fetch` would not. */
export async function call(url: string, { method = 'GET', headers = {}, body }: Call = {}): Promise<Answer> {
  const response = await request(url, { method, headers: { ...headers }, body: body ?? null });
  const text = await response.body.text();
  const isJson = String(response.headers['content-type'] ?? '').includes('json');
  return {
    status: response.statusCode,
    headers: response.headers,
    text,
    json: isJson && text !== '' ? (JSON.parse(text) as Json) : {},
  };
}

/** Sends a value as JSON. */
export async function post(
  url: string,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return call(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof value === 'string' ? value : JSON.stringify(value),
  });
}

/** The smallest request that is accepted. */
export const CARD = { template: 'test-card', parameters: { width: 64, height: 64 } } as const;

/** Accepts one generation and answers its id. */
export async function accept(url: string, value: unknown = CARD): Promise<string> {
  const { status, json } = await post(`${url}/v1/generations`, value);
  if (status !== 202) throw new Error(`Not accepted: ${JSON.stringify(json)}`);
  return String(json['id']);
}
