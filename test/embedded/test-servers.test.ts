import { Client, Connection } from '@temporalio/client';
import { expect, test } from '@jest/globals';
import { Client as MinioClient } from 'minio';
import pg from 'pg';
import { searchAttributeKeys } from '../../workflows/contracts/search-attributes.js';
import {
  createEmptyDatabase,
  createTestBucket,
  createTestDatabase,
  createTestNamespace,
  testServers,
  uniqueName,
} from '../support/stack.js';

async function tablesIn(url: string): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
  const { rows } = await client.query<{ tablename: string }>(query);
  await client.end();
  return rows.map(({ tablename }) => tablename);
}

test('an empty database has no table, and a migrated one is a copy of its own', async () => {
  expect(await tablesIn(await createEmptyDatabase())).toEqual([]);
  const [first, second] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  expect(first).not.toBe(second);
  expect(await tablesIn(first)).toContain('generations');
  expect(await tablesIn(second)).toEqual(await tablesIn(first));
});

test('a bucket of one’s own takes an object', async () => {
  const { endpoint, accessKeyId, secretAccessKey, bucket, region } = await createTestBucket();
  const client = new MinioClient({
    endPoint: endpoint.hostname,
    port: Number(endpoint.port),
    useSSL: false,
    accessKey: accessKeyId,
    secretKey: secretAccessKey,
    region,
  });
  await client.putObject(bucket, 'a.txt', 'content');
  expect((await client.statObject(bucket, 'a.txt')).size).toBe(7);
});

test('a namespace of one’s own takes a Workflow with Search Attributes at once', async () => {
  const namespace = await createTestNamespace();
  const connection = await Connection.connect({ address: testServers().temporalAddress });
  const client = new Client({ connection, namespace });
  const handle = await client.workflow.start('neverRun', {
    taskQueue: uniqueName('queue'),
    workflowId: uniqueName('workflow'),
    typedSearchAttributes: [
      { key: searchAttributeKeys.generationStatus, value: 'QUEUED' },
      { key: searchAttributeKeys.attempts, value: 1 },
    ],
  });
  const { typedSearchAttributes } = await handle.describe();
  await handle.terminate();
  await connection.close();
  expect(typedSearchAttributes.get(searchAttributeKeys.generationStatus)).toBe('QUEUED');
  expect(typedSearchAttributes.get(searchAttributeKeys.attempts)).toBe(1);
});
