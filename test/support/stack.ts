import { randomBytes } from 'node:crypto';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { Client as MinioClient } from 'minio';
import pg from 'pg';
import { migrate } from '../../infra/postgres/migrate.js';
import { createLogger } from '../../infra/runtime/logger.js';
import { prepareNamespace } from '../../infra/embedded/temporal/prepare-namespace.js';
import { untilAnswers } from '../../infra/embedded/until-answers.js';
import type { StorageConfig } from '../../infra/runtime/storage-config.js';
import { storageConfigFrom } from '../../infra/runtime/storage-config.js';

/** The real servers that the whole test run shares. */
export interface TestServers {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  readonly temporalUiUrl: string;
  /** Path of the `temporal` command. */
  readonly temporalCliPath: string;
  /** The S3 server that runs: MinIO, or versitygw where MinIO could only be built. */
  readonly objectStore: ObjectStoreName;
  readonly s3: {
    readonly endpoint: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly region: string;
  };
}

export type ObjectStoreName = 'minio' | 'versitygw';

const REGION = 'us-east-1';
/** Temporal's SQLite once refused every call for 23 s as "interrupted (9)", which is longer than the SDK retries. */
const USABLE_WITHIN_MS = 50_000;
/** Keys of advisory locks: any two different numbers. */
const TEMPLATE_LOCK = 7_301;
const NAMESPACE_LOCK = 7_302;
const TEMPLATE = 'test_template';

/** Where they are; global setup has started them. */
export function testServers(): TestServers {
  return {
    databaseUrl: fromEnv('TEST_DATABASE_URL'),
    temporalAddress: fromEnv('TEST_TEMPORAL_ADDRESS'),
    temporalUiUrl: fromEnv('TEST_TEMPORAL_UI_URL'),
    temporalCliPath: fromEnv('TEST_TEMPORAL_CLI_PATH'),
    objectStore: objectStoreFrom(fromEnv('TEST_OBJECT_STORE')),
    s3: {
      endpoint: fromEnv('TEST_S3_ENDPOINT'),
      accessKeyId: fromEnv('TEST_S3_ACCESS_KEY_ID'),
      secretAccessKey: fromEnv('TEST_S3_SECRET_ACCESS_KEY'),
      region: REGION,
    },
  };
}

/** A name that nothing else in this run has; fit for databases, buckets, namespaces and Task Queues. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(6).toString('hex')}`;
}

/** An empty database of its own, without tables; answers its address. */
export async function createEmptyDatabase({ databaseUrl }: TestServers = testServers()): Promise<string> {
  return withDatabase(databaseUrl, async (client) => createDatabase(client, databaseUrl));
}

/** A migrated database of its own; answers its address. Copying the template takes a tenth of the time of migrating. */
export async function createTestDatabase({ databaseUrl }: TestServers = testServers()): Promise<string> {
  return withDatabase(databaseUrl, async (client) => {
    await ensureTemplate(client, databaseUrl);
    return createDatabase(client, databaseUrl, TEMPLATE);
  });
}

async function createDatabase(client: pg.Client, serverUrl: string, template = 'template1'): Promise<string> {
  const name = uniqueName('test').replaceAll('-', '_');
  await client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  return databaseUrlOf(serverUrl, name);
}

/** The first caller migrates; the others wait. A half-migrated database never has the name of the template. */
async function ensureTemplate(client: pg.Client, serverUrl: string): Promise<void> {
  const isThere = async () =>
    (await client.query('SELECT FROM pg_database WHERE datname = $1', [TEMPLATE])).rowCount === 1;
  if (await isThere()) return;
  await client.query('SELECT pg_advisory_lock($1)', [TEMPLATE_LOCK]); // released with the connection
  if (await isThere()) return;
  const url = await createDatabase(client, serverUrl);
  await migrate(url, createLogger({ name: 'test-template', level: 'silent' }));
  await client.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} RENAME TO ${TEMPLATE}`);
}

function databaseUrlOf(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

async function withDatabase<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** An empty bucket of one's own. */
export async function createTestBucket({ s3 }: TestServers = testServers()): Promise<StorageConfig> {
  const storage = storageConfigFrom({
    S3_ENDPOINT: s3.endpoint,
    S3_ACCESS_KEY_ID: s3.accessKeyId,
    S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
    S3_BUCKET: uniqueName('test'),
    S3_REGION: s3.region,
  });
  const client = new MinioClient({
    endPoint: storage.endpoint.hostname,
    port: Number(storage.endpoint.port),
    useSSL: false,
    accessKey: storage.accessKeyId,
    secretKey: storage.secretAccessKey,
    region: storage.region,
  });
  await client.makeBucket(storage.bucket, storage.region);
  return storage;
}

/**
 * A Temporal namespace of its own with all Search Attributes, usable when this returns. Test files register one at a time:
 * each writes the table of namespaces, and Temporal's SQLite has one writer.
 */
export async function createTestNamespace(servers: TestServers = testServers()): Promise<string> {
  return withDatabase(servers.databaseUrl, async (client) => {
    await client.query('SELECT pg_advisory_lock($1)', [NAMESPACE_LOCK]); // released with the connection
    return registerNamespace(servers.temporalAddress);
  });
}

async function registerNamespace(address: string): Promise<string> {
  let namespace = '';
  const connection = await Connection.connect({ address });
  try {
    const signal = AbortSignal.timeout(USABLE_WITHIN_MS);
    await untilAnswers(async () => {
      namespace = uniqueName('test'); // a new name for each try: a lost answer does no harm
      await connection.workflowService.registerNamespace({
        namespace,
        workflowExecutionRetentionPeriod: msToTs('24 hours'),
      });
    }, signal);
    await untilAnswers(() => prepareNamespace(address, namespace), signal);
    const query = "GenerationStatus = 'QUEUED' AND Attempts = 1";
    await untilAnswers(
      async () => void (await connection.workflowService.listWorkflowExecutions({ namespace, query })),
      signal,
    );
  } finally {
    await connection.close();
  }
  return namespace;
}

/** The name of a store as the stack reports it. */
export function objectStoreFrom(name: string | undefined): ObjectStoreName {
  if (name === 'minio' || name === 'versitygw') return name;
  throw new Error(`OBJECT_STORE is "${name ?? ''}", but must be minio or versitygw`);
}

function fromEnv(name: string): string {
  const value = process.env[name];
  if (value === undefined)
    throw new Error(`${name} is not set: run tests through Jest, whose global setup starts servers`);
  return value;
}
