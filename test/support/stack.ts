import { randomBytes } from 'node:crypto';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { Client as MinioClient } from 'minio';
import pg from 'pg';
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
  readonly s3: {
    readonly endpoint: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly region: string;
  };
}

const REGION = 'us-east-1';
/** Its SQLite once refused every call for 23 s and more, as "interrupted (9)": longer than the SDK tries again. */
const USABLE_WITHIN_MS = 50_000;

/** Where they are; global setup has started them. */
export function testServers(): TestServers {
  return {
    databaseUrl: fromEnv('TEST_DATABASE_URL'),
    temporalAddress: fromEnv('TEST_TEMPORAL_ADDRESS'),
    temporalUiUrl: fromEnv('TEST_TEMPORAL_UI_URL'),
    temporalCliPath: fromEnv('TEST_TEMPORAL_CLI_PATH'),
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

/** An empty database of one's own; answers its address. */
export async function createTestDatabase({ databaseUrl }: TestServers = testServers()): Promise<string> {
  const name = uniqueName('test').replaceAll('-', '_');
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${name}`);
  } finally {
    await client.end();
  }
  const url = new URL(databaseUrl);
  url.pathname = `/${name}`;
  return url.href;
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

/** A Temporal namespace of one's own with all Search Attributes, usable when this returns. */
export async function createTestNamespace({ temporalAddress: address }: TestServers = testServers()): Promise<string> {
  let namespace = '';
  const connection = await Connection.connect({ address });
  try {
    const signal = AbortSignal.timeout(USABLE_WITHIN_MS);
    await untilAnswers(async () => {
      namespace = uniqueName('test'); // a new one for each try: an answer that was lost does no harm
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

function fromEnv(name: string): string {
  const value = process.env[name];
  if (value === undefined)
    throw new Error(`${name} is not set: run tests through Jest, whose global setup starts servers`);
  return value;
}
