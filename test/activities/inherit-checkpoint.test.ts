import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInheritCheckpoint } from '../../activities/inherit-checkpoint.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { openDatabase } from '../../infra/postgres/database.js';
import type { DatabaseConnection } from '../../infra/postgres/database.js';
import type { Resumption } from '../../workflows/contracts/checkpoint.js';
import { createTestBucket, createTestDatabase } from '../support/stack.js';
import { environment } from './support/activity-world.js';

let connection: DatabaseConnection;
let store: ObjectStore;
const folder = mkdtempSync(join(tmpdir(), 'inherit-'));

beforeAll(async () => {
  const url = await createTestDatabase();
  connection = openDatabase({ url, poolSize: 2, onIdleError: () => undefined });
  store = createObjectStore(await createTestBucket());
}, 60_000);
afterAll(async () => {
  await connection.close();
  rmSync(folder, { recursive: true });
});

const TEXT = 'the bytes of a picture';
const sha256 = createHash('sha256').update(TEXT).digest('hex');

/** A failed generation that has stored two of three pictures. */
async function failed(id: string): Promise<void> {
  const { database } = connection;
  const empty = { metadata: '{}', workflow_input: '{}', asked: '{}' };
  await database
    .insertInto('generations')
    .values({ id, template: 'graph', graph_key: 'graphs/a.json', ...empty })
    .execute();
  const facts = { kind: 'image', mediaType: 'image/png', bytes: TEXT.length, sha256, widthPx: 8, heightPx: 8 } as const;
  const stored = [0, 1].map((index) => ({
    ...{ ...facts, index, objectKey: `jobs/${id}/image_${index}.png` },
    ...{ frames: null, durationSeconds: null, isFlat: false },
  }));
  for (const { objectKey } of stored) await put(objectKey, TEXT);
  const graph = { key: 'graphs/a.json', sha256: 'a' };
  const resumption: Resumption = { stored, left: [{ first: 2, count: 1 }], graph, prompt: null };
  await database
    .insertInto('checkpoints')
    .values({
      ...{ generation_id: id, attempt: 1, progress_percent: 66, graph_key: 'graphs/a.json', completed_nodes: '[]' },
      ...{ files: '[]', resumption: JSON.stringify(resumption) },
    })
    .execute();
}

async function put(key: string, text: string): Promise<void> {
  const path = join(folder, 'file');
  writeFileSync(path, text);
  const hash = createHash('sha256').update(text).digest('hex');
  const facts = { bytes: text.length, sha256: hash, mediaType: 'image/png', metadata: { submission: '3' } };
  await store.putFile(key, { path, ...facts, condition: { kind: 'always' } });
}

async function inherit(from: string): Promise<Resumption | null> {
  const activity = createInheritCheckpoint({ database: connection.database, store });
  return environment().run(activity, { generationId: `${from}_again`, from });
}

test('what is stored is copied with its bytes, its type and its hash, and stands below every submission of the new one', async () => {
  await failed('whole');
  const inherited = await inherit('whole');
  expect(inherited?.stored.map(({ objectKey }) => objectKey)).toEqual([
    'jobs/whole_again/image_0.png',
    'jobs/whole_again/image_1.png',
  ]);
  expect(inherited?.left).toEqual([{ first: 2, count: 1 }]);
  expect(await store.facts('jobs/whole_again/image_1.png')).toMatchObject({
    ...{ bytes: TEXT.length, sha256, mediaType: 'image/png', metadata: { submission: '0' } },
  });
  expect(await store.facts('jobs/whole/image_1.png')).toMatchObject({ metadata: { submission: '3' } });
});

test('when a part is gone, or has other bytes, all of the batch is rendered again', async () => {
  await failed('gone');
  await store.remove('jobs/gone/image_1.png');
  expect(await inherit('gone')).toMatchObject({ stored: [], left: [] });
  await failed('other');
  await put('jobs/other/image_0.png', 'other bytes of a pictu');
  expect(await inherit('other')).toMatchObject({ stored: [], left: [] });
});

test('of a generation that has left nothing there is nothing', async () => {
  expect(await inherit('nobody')).toBeNull();
});
