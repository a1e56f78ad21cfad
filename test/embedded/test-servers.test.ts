import { Client, Connection } from '@temporalio/client';
import { expect, test } from '@jest/globals';
import { Client as MinioClient } from 'minio';
import pg from 'pg';
import { searchAttributeKeys } from '../../workflows/contracts/search-attributes.js';
import {
  createTestBucket,
  createTestDatabase,
  createTestNamespace,
  testServers,
  uniqueName,
} from '../support/stack.js';

test('a database of one’s own is empty and usable', async () => {
  const client = new pg.Client({ connectionString: await createTestDatabase() });
  await client.connect();
  const { rows } = await client.query("SELECT count(*)::int AS tables FROM pg_tables WHERE schemaname = 'public'");
  await client.end();
  expect(rows).toEqual([{ tables: 0 }]);
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
