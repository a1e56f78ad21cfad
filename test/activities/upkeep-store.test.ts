import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createFindExpiredOutputs, createRemoveExpiredOutputs } from '../../activities/upkeep/expired-outputs.js';
import { createFindUnneededFiles } from '../../activities/upkeep/find-unneeded-files.js';
import { createFindOldRecords, createRemoveOldRecords } from '../../activities/upkeep/old-records.js';
import {
  createCountNeededUploads,
  createFindOldUploads,
  createRemoveOldUploads,
} from '../../activities/upkeep/old-uploads.js';
import { createRemoveRecoveryData } from '../../activities/upkeep/remove-recovery-data.js';
import { createFindStaleObjects, createRemoveStaleObjects } from '../../activities/upkeep/stale-objects.js';
import { lockInput } from '../../activities/database/lock-input.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { openDatabase } from '../../infra/postgres/database.js';
import type { DatabaseConnection } from '../../infra/postgres/database.js';
import { createTestBucket, createTestDatabase } from '../support/stack.js';
import { until } from '../support/until.js';
import { environment } from './support/activity-world.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MOMENT_MS = 60_000;

let connection: DatabaseConnection;
let store: ObjectStore;
let folder: string;

beforeAll(async () => {
  const url = await createTestDatabase();
  connection = openDatabase({ url, poolSize: 4, onIdleError: () => undefined });
  store = createObjectStore(await createTestBucket());
  folder = mkdtempSync(join(tmpdir(), 'upkeep-store-'));
});
afterAll(async () => {
  await connection.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  // credit entries are never removed, so none of these tests makes one
  await sql`TRUNCATE generations, uploads CASCADE`.execute(connection.database);
});

const run = async <T>(activity: () => Promise<T>) => environment().run(async () => activity(), {});
const ago = (ms: number) => new Date(Date.now() - ms);
const keys = async (prefix: string) => store.keysUnder(prefix);

async function putObject(key: string, text: string): Promise<void> {
  const path = join(folder, 'file');
  writeFileSync(path, text);
  const sha256 = createHash('sha256').update(text).digest('hex');
  const upload = { path, bytes: text.length, sha256, mediaType: 'image/png', metadata: {} };
  await store.putFile(key, { ...upload, condition: { kind: 'always' } });
}

/** A generation that ended so long ago; `null`: it is under way. */
async function insertGeneration(
  id: string,
  endedMsAgo: number | null,
  ...[inputs = [], status = 'COMPLETED']: [(readonly string[])?, ('COMPLETED' | 'CANCELLED')?]
): Promise<void> {
  await connection.database
    .insertInto('generations')
    .values({
      ...{ id, template: 'graph', graph_key: 'graphs/a.json', metadata: '{}', workflow_input: '{}', asked: '{}' },
      ...(endedMsAgo !== null && { status, finished_at: ago(endedMsAgo) }),
    })
    .execute();
  for (const sha256 of inputs) {
    const row = { generation_id: id, sha256, object_key: `inputs/${sha256}.png` };
    await connection.database.insertInto('generation_inputs').values(row).execute();
  }
}

async function insertOutput(id: string, index: number, text: string): Promise<void> {
  const key = `jobs/${id}/image_${index}.png`;
  await putObject(key, text);
  const facts = { kind: 'image', media_type: 'image/png', bytes: text.length, sha256: 'a'.repeat(64) } as const;
  await connection.database
    .insertInto('outputs')
    .values({ ...facts, generation_id: id, index, object_key: key, width_px: 8, height_px: 8, is_flat: false })
    .execute();
}

describe('uploads', () => {
  const deps = () => ({ database: connection.database, store, retentionDays: 7 });
  const find = async () => run(createFindOldUploads(deps()));
  const remove = async (found: Awaited<ReturnType<typeof find>>) =>
    environment().run(createRemoveOldUploads(deps()), found);
  const hashOf = (name: string) => createHash('sha256').update(name).digest('hex');
  const left = async () =>
    (await connection.database.selectFrom('uploads').select('id').orderBy('id').execute()).map(({ id }) => id);

  async function insertUpload(id: string, usedMsAgo: number, sha256: string | null = hashOf(id)): Promise<void> {
    const file = { sha256, object_key: `inputs/${sha256 ?? ''}.png`, kind: 'image', media_type: 'image/png' } as const;
    await connection.database
      .insertInto('uploads')
      .values({ id, bytes: 12, created_at: ago(usedMsAgo), used_at: ago(usedMsAgo), ...(sha256 !== null && file) })
      .execute();
    await putObject(sha256 === null ? `uploads/incoming/${id}` : file.object_key, 'twelve bytes');
  }

  test('they go 7 days after their last use with their objects, and not before', async () => {
    await insertUpload('old', 7 * DAY_MS + MOMENT_MS);
    await insertUpload('used', 7 * DAY_MS - MOMENT_MS);
    expect(await remove(await find())).toEqual({ files: 1, bytes: 12, kept: 0, failed: 0, errors: [] });
    expect(await left()).toEqual(['used']);
    expect(await keys(`inputs/${hashOf('old')}`)).toEqual([]);
    expect(await keys(`inputs/${hashOf('used')}`)).toHaveLength(1);
    expect(await find()).toEqual([]);
  });

  test('what an open generation needs stays with its object, and is counted; once that has ended it goes', async () => {
    await insertUpload('needed', 9 * DAY_MS);
    await insertGeneration('gen_open', null, [hashOf('needed')]);
    await insertGeneration('gen_ended', DAY_MS, [hashOf('needed')]);
    expect(await find()).toEqual([]);
    expect(await run(createCountNeededUploads(deps()))).toBe(1);
    expect(await keys(`inputs/${hashOf('needed')}`)).toHaveLength(1);
    await connection.database.deleteFrom('generation_inputs').where('generation_id', '=', 'gen_open').execute();
    expect(await remove(await find())).toMatchObject({ files: 1 });
    expect(await keys(`inputs/${hashOf('needed')}`)).toEqual([]);
  });

  test('an object that another upload has, too, stays until the last one goes', async () => {
    const sha256 = hashOf('shared');
    await insertUpload('first', 8 * DAY_MS, sha256);
    await insertUpload('second', DAY_MS, sha256);
    expect(await remove(await find())).toMatchObject({ files: 0, bytes: 0, failed: 0 });
    expect(await left()).toEqual(['second']);
    expect(await keys(`inputs/${sha256}`)).toHaveLength(1);
    await connection.database
      .updateTable('uploads')
      .set({ used_at: ago(8 * DAY_MS) })
      .execute();
    expect(await remove(await find())).toMatchObject({ files: 1, bytes: 12 });
    expect(await keys(`inputs/${sha256}`)).toEqual([]);
  });

  test('whoever begins to use a file while it is being removed waits, or is waited for and keeps it', async () => {
    await insertUpload('old', 8 * DAY_MS);
    const found = await find();
    const order: string[] = [];
    let removing: Promise<unknown> = Promise.resolve();
    await connection.database.transaction().execute(async (transaction) => {
      await lockInput(transaction, hashOf('old'));
      removing = remove(found).then((tally) => order.push(`removed ${tally.files}`));
      await until('the removal waits for the lock', async () => {
        const { rows } = await sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`.execute(
          connection.database,
        );
        return rows.length > 0;
      });
      await transaction.updateTable('uploads').set({ used_at: new Date() }).where('id', '=', 'old').execute();
      order.push('used');
    });
    await removing;
    expect(order).toEqual(['used', 'removed 0']);
    expect(await keys(`inputs/${hashOf('old')}`)).toHaveLength(1);
  });

  test('an attempt that goes on after one that died answers what both have removed', async () => {
    await insertUpload('a', 8 * DAY_MS);
    await insertUpload('b', 8 * DAY_MS);
    const found = await find();
    await remove(found.slice(0, 1)); // the attempt that was killed then
    expect(await remove(found)).toMatchObject({ files: 2, bytes: 24 });
  });

  test('what was announced and has not arrived after 24 hours goes, with what was sent of it', async () => {
    await insertUpload('stale', DAY_MS + MOMENT_MS, null);
    await insertUpload('slow', DAY_MS - MOMENT_MS, null);
    await remove(await find());
    expect(await left()).toEqual(['slow']);
    expect(await keys('uploads/incoming/')).toEqual(['uploads/incoming/slow']);
    await store.remove('uploads/incoming/slow');
  });

  test('incoming objects without a row go by their own age', async () => {
    await putObject('uploads/incoming/a', 'twelve bytes');
    expect(await run(createFindStaleObjects({ store }))).toEqual([]); // of now
    const ofYesterday: ObjectStore = {
      ...store,
      // the time of an object cannot be set: this list says that it was written a day earlier
      async *objectsUnder(prefix) {
        for await (const object of store.objectsUnder(prefix)) {
          yield { ...object, modifiedAtMs: object.modifiedAtMs - DAY_MS };
        }
      },
    };
    const found = await run(createFindStaleObjects({ store: ofYesterday }));
    expect(found).toEqual([{ key: 'uploads/incoming/a', bytes: 12 }]);
    expect(await environment().run(createRemoveStaleObjects({ store }), found)).toMatchObject({ files: 1, bytes: 12 });
    expect(await keys('uploads/incoming/')).toEqual([]);
  });
});

describe('delivered results', () => {
  const deps = () => ({ database: connection.database, store, retentionDays: 30 });
  const find = async () => run(createFindExpiredOutputs(deps()));
  const remove = async (ids: readonly string[]) => environment().run(createRemoveExpiredOutputs(deps()), ids);
  const removedAt = async (id: string) =>
    connection.database.selectFrom('generations').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

  test('R4.6 they go OUTPUT_RETENTION_DAYS after the end; the rows stay and say so', async () => {
    for (const [id, age] of [
      ['gen_old', 30 * DAY_MS + MOMENT_MS],
      ['gen_new', 30 * DAY_MS - MOMENT_MS],
      ['gen_open', null],
    ] as const) {
      await insertGeneration(id, age);
      await insertOutput(id, 0, 'twelve bytes');
      await insertOutput(id, 1, 'twelve bytes');
    }
    expect(await find()).toEqual(['gen_old']);
    expect(await remove(['gen_old'])).toEqual({ files: 2, bytes: 24, kept: 0, failed: 0, errors: [] });
    expect(await keys('jobs/gen_old/')).toEqual([]);
    expect(await keys('jobs/gen_new/')).toHaveLength(2);
    expect(await keys('jobs/gen_open/')).toHaveLength(2);
    expect(await removedAt('gen_old')).toMatchObject({ status: 'COMPLETED', outputs_removed_at: expect.any(Date) });
    expect((await removedAt('gen_new')).outputs_removed_at).toBeNull();
    const rows = connection.database.selectFrom('outputs').selectAll().where('generation_id', '=', 'gen_old');
    expect(await rows.execute()).toHaveLength(2);
    expect(await find()).toEqual([]);
  });

  test('an attempt that goes on after one that died in between answers what both have removed', async () => {
    for (const id of ['gen_a', 'gen_b', 'gen_c']) {
      await insertGeneration(id, 40 * DAY_MS);
      await insertOutput(id, 0, 'twelve bytes');
    }
    const ids = await find();
    await remove(['gen_a']);
    await store.remove('jobs/gen_b/image_0.png'); // it died before it could write that down
    expect(await remove(ids)).toMatchObject({ files: 3, bytes: 36 });
    expect((await removedAt('gen_b')).outputs_removed_at).not.toBeNull();
  });

  test('what a generation without a result has left in the store goes, too', async () => {
    await connection.database
      .insertInto('generations')
      .values({
        ...{ id: 'gen_failed', template: 'graph', graph_key: 'g', metadata: '{}', workflow_input: '{}', asked: '{}' },
        ...{ status: 'CANCELLED', finished_at: ago(31 * DAY_MS) },
      })
      .execute();
    await putObject('jobs/gen_failed/image_0.png', 'left by an upload');
    expect(await remove(await find())).toMatchObject({ files: 0, failed: 0 });
    expect(await keys('jobs/gen_failed/')).toEqual([]);
  });

  test('the database refuses to forget the outputs of an open generation', async () => {
    await insertGeneration('gen_open', null);
    const forget = connection.database.updateTable('generations').set({ outputs_removed_at: new Date() }).execute();
    await expect(forget).rejects.toThrow(/check constraint/);
  });
});

test('claim and fal.ai records go after the outputs, once Temporal has forgotten the Workflow, and not before', async () => {
  const { database } = connection;
  for (const id of ['gen_known', 'gen_forgotten', 'gen_recent']) {
    await insertGeneration(id, 40 * DAY_MS);
    await store.writeJson(`claims/${id}.json`, {}, { kind: 'always' });
    await store.writeJson(`fal/${id}/1.json`, {}, { kind: 'always' });
  }
  const removed = database.updateTable('generations').set({ outputs_removed_at: new Date() });
  await removed.where('id', '!=', 'gen_recent').execute();
  const find = createFindOldRecords({ database });
  const isKnown = async (id: string) => id === 'gen_known';
  const found = await run(find);
  expect([...found].sort()).toEqual(['gen_forgotten', 'gen_known']);
  const remove = createRemoveOldRecords({ database, store, isKnown });
  expect(await environment().run(remove, found)).toMatchObject({ files: 1, kept: 1, failed: 0 });
  expect(await keys('claims/')).toEqual(['claims/gen_known.json', 'claims/gen_recent.json']);
  expect(await keys('fal/')).toEqual(['fal/gen_known/1.json', 'fal/gen_recent/1.json']);
  expect(await run(find)).toEqual(['gen_known']);
});

test('R5.12 checkpoints go CHECKPOINT_RETENTION_HOURS after the end, idempotency keys after 24 hours, no others', async () => {
  const { database } = connection;
  for (const [id, ended] of [
    ['long-ago', 3 * HOUR_MS],
    ['just-now', HOUR_MS],
    ['under-way', null],
  ] as const) {
    await insertGeneration(id, ended, [], 'CANCELLED');
    await putObject(`jobs/${id}/image_0.png`, 'a');
    const resumption = JSON.stringify({ stored: [], left: [], graph: { key: 'a', sha256: 'a' }, prompt: null });
    const progress = {
      resumption,
      progress_percent: 40,
      graph_key: 'graphs/a.json',
      completed_nodes: '["1"]',
      files: '[]',
    };
    await database
      .insertInto('checkpoints')
      .values({ generation_id: id, attempt: 1, ...progress })
      .execute();
    const created_at = ago(ended === HOUR_MS ? DAY_MS - MOMENT_MS : DAY_MS + MOMENT_MS);
    const answer = { account_id: 'default', request_sha256: 'a', response_body: '{}', generation_id: id };
    await database
      .insertInto('idempotency_keys')
      .values({ ...answer, key: id, created_at })
      .execute();
  }
  const removal = createRemoveRecoveryData({ database, store, checkpointRetentionHours: 2 });
  expect(await run(removal)).toMatchObject({ files: 3, failed: 0 });
  const checkpoints = await database.selectFrom('checkpoints').select('generation_id').execute();
  expect(checkpoints.map((row) => row.generation_id).sort()).toEqual(['just-now', 'under-way']);
  const kept = ['long-ago', 'just-now', 'under-way'].map(async (id) => [id, (await keys(`jobs/${id}/`)).length]);
  expect(Object.fromEntries(await Promise.all(kept))).toEqual({ 'long-ago': 0, 'just-now': 1, 'under-way': 1 });
  const idempotencyKeys = await database.selectFrom('idempotency_keys').select('key').execute();
  expect(idempotencyKeys.map(({ key }) => key)).toEqual(['just-now']);
});

describe('whose files in ComfyUI nobody needs', () => {
  const ask = async (generationIds: readonly string[], inputs: readonly string[]) =>
    environment().run(createFindUnneededFiles({ database: connection.database }), { generationIds, inputs });
  const [needed, unneeded, unknown] = ['1', '2', '3'].map((digit) => digit.repeat(64)) as [string, string, string];

  test('those of ended generations; not of open ones, nor of ones that another installation has', async () => {
    await insertGeneration('gen_open', null, [needed]);
    await insertGeneration('gen_ended', DAY_MS, [needed, unneeded]);
    const inputs = [needed, unneeded, unknown].map((hash) => `${hash}.png`);
    expect(await ask(['gen_open', 'gen_ended', 'gen_unknown'], inputs)).toEqual({
      ...{ generationIds: ['gen_ended'], inputs: [`${unneeded}.png`], othersToo: false },
    });
  });

  test("other people's files only while no generation is open, because a graph may name any of them", async () => {
    await insertGeneration('gen_ended', DAY_MS);
    expect((await ask([], [])).othersToo).toBe(true);
    await insertGeneration('gen_open', null);
    expect((await ask([], [])).othersToo).toBe(false);
  });
});
