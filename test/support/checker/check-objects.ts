import { createHash } from 'node:crypto';
import type { Client } from 'minio';
import type { Evidence, Violation } from './check-invariants.js';
import { keysIn, storeClient } from './store-client.js';

/** Parts of a batch that a failed generation leaves to the one that repeats it. */
const KEPT_PARTS = `
  SELECT part->>'objectKey' AS object_key, part->>'bytes' AS bytes, part->>'sha256' AS sha256
    FROM checkpoints JOIN generations ON id = generation_id, jsonb_array_elements(resumption->'stored') AS part
   WHERE status IN ('FAILED', 'TIMEOUT') AND outputs_removed_at IS NULL`;

interface StoredRow {
  readonly object_key: string;
  readonly bytes: string;
  readonly sha256: string;
}

interface OutputRow extends StoredRow {
  readonly status: string;
}

/** I2: no object without a row, no row without an object, and every byte is what the row says. */
export async function checkObjects({ database, storage }: Evidence): Promise<readonly Violation[]> {
  const { rows } = await database.query<OutputRow>(
    // what was removed after its time must have no object any more
    'SELECT object_key, bytes, sha256, status FROM outputs JOIN generations ON id = generation_id WHERE outputs_removed_at IS NULL',
  );
  const { rows: parts } = await database.query<StoredRow>(KEPT_PARTS);
  const client = storeClient(storage);
  const keys = await keysIn(client, storage.bucket, 'jobs/');
  const wrong = await Promise.all([...rows, ...parts].map(async (row) => checkObject(client, storage.bucket, row)));
  const rowKeys = new Set([...rows, ...parts].map((row) => row.object_key));
  const misplaced = rows.filter(({ status }) => status !== 'COMPLETED');
  return [
    ...misplaced.map((row): Violation => `I2 ${row.object_key} belongs to a generation that is ${row.status}`),
    ...wrong.filter((violation) => violation !== null),
    ...keys.filter((key) => !rowKeys.has(key)).map((key): Violation => `I2 the object ${key} has no row`),
  ];
}

async function checkObject(client: Client, bucket: string, row: StoredRow): Promise<Violation | null> {
  const { object_key: key, bytes, sha256 } = row;
  try {
    const hash = createHash('sha256');
    let count = 0;
    for await (const chunk of (await client.getObject(bucket, key)) as AsyncIterable<Uint8Array>) {
      hash.update(chunk);
      count += chunk.byteLength;
    }
    const isSame = count === Number(bytes) && hash.digest('hex') === sha256;
    return isSame ? null : `I2 the object ${key} has ${count} bytes, its row says ${bytes} and another hash`;
  } catch (error) {
    return `I2 the row of ${key} has no object: ${String(error)}`;
  }
}
