import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readGraph } from '../../activities/storage/graph-documents.js';
import { feedBatches } from '../../workers/batch-feeder.js';
import { readEvents } from './support/read-events.js';
import { CARD, accept, call, createTestSetting, post } from './support/start-test-api.js';
import type { Json, TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi({ MAX_BATCH: '500' });
}, 60_000);
afterAll(async () => setting.release());

const SD15 = { template: 'sd15-text-to-image', parameters: { prompt: 'a harbour', width: 64, height: 64 } } as const;

interface Member {
  readonly id: string;
  readonly status: string;
  readonly asked: Json;
  readonly priority: number;
  readonly retryOf: string | null;
  readonly batch: { readonly id: string; readonly index: number | null } | null;
}

async function batch(body: Json, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const { status, json } = await post(`${api}/v1/batches`, body, headers);
  if (status !== 202) throw new Error(`Not accepted: ${JSON.stringify(json)}`);
  return String(json['id']);
}

const cards = (count: number): Json => ({ generations: Array.from({ length: count }, () => CARD) });
const read = async (id: string): Promise<Json> => (await call(`${api}/v1/batches/${id}`)).json;
const countsOf = async (id: string) => (await read(id))['counts'] as Readonly<Record<string, number>>;

async function members(id: string, query = 'limit=100'): Promise<readonly Member[]> {
  const { json } = await call(`${api}/v1/batches/${id}/generations?${query}`);
  return json['generations'] as readonly Member[];
}

const unfedOf = async (id: string) =>
  (await setting.database.selectFrom('unfed_generations').select('generation_id').where('batch_id', '=', id).execute())
    .length;

/** What a control worker would record. */
async function end(ids: readonly string[], status: 'FAILED' | 'CANCELLED'): Promise<void> {
  await setting.database
    .updateTable('generations')
    .set({ status, finished_at: new Date(), ...(status === 'FAILED' && { failure_kind: 'TIMEOUT' as const }) })
    .where('id', 'in', ids)
    .execute();
}

async function account(credits: number): Promise<string> {
  const id = `a${Math.random().toString(36).slice(2)}`;
  await post(`${api}/v1/accounts`, { id });
  await post(`${api}/v1/accounts/${id}/grants`, { credits, reference: 'x' });
  return id;
}

const balanceOf = async (id: string) => (await call(`${api}/v1/accounts/${id}`)).json['balance'];

describe('What a batch can be', () => {
  test('a list, in its order, each as it would be alone; nothing is given to the relay yet', async () => {
    const answer = await post(`${api}/v1/batches`, {
      generations: [CARD, { ...SD15, priority: 2 }, CARD],
      priority: 4,
    });
    expect(answer.status).toBe(202);
    const id = String(answer.json['id']);
    expect(answer.headers['location']).toBe(`/v1/batches/${id}`);
    expect(answer.json).toMatchObject({ total: 3, percent: 0, counts: { queued: 3, completed: 0 }, finishedAt: null });
    const list = await members(id);
    expect(list.map(({ batch: place, priority }) => [place?.index, priority])).toEqual([
      [0, 4],
      [1, 2],
      [2, 4],
    ]);
    expect(list[1]?.asked).toMatchObject({ prompt: 'a harbour', steps: 20 });
    const ids = list.map((each) => each.id);
    expect([...ids].sort()).toEqual(ids);
    expect(await setting.database.selectFrom('outbox').where('generation_id', 'in', ids).selectAll().execute()).toEqual(
      [],
    );
    expect(await unfedOf(id)).toBe(3);
    const row = await setting.database
      .selectFrom('generations')
      .selectAll()
      .where('id', '=', ids[1] ?? '')
      .executeTakeFirstOrThrow();
    const { generationId, graph } = row.workflow_input;
    expect([generationId, graph.key]).toEqual([row.id, row.graph_key]);
    expect(await readGraph(setting.store, graph)).toMatchObject({ '3': { class_type: 'KSampler' } });
  });

  test('a sweep over parameters and seeds: every combination once, the last list and then the seed change first', async () => {
    const id = await batch({
      generation: SD15,
      sweep: { steps: [5, 6], sampler: ['euler', 'euler_a'] },
      seeds: { from: 7, count: 2 },
    });
    const asked = (await members(id)).map(
      ({ asked: { steps, sampler, seed } }) => `${String(steps)} ${String(sampler)} ${String(seed)}`,
    );
    expect(asked).toEqual([
      ...['5 euler 7', '5 euler 8', '5 euler_ancestral 7', '5 euler_ancestral 8'],
      ...['6 euler 7', '6 euler 8', '6 euler_ancestral 7', '6 euler_ancestral 8'],
    ]);
  });

  test.each([
    [{}, ''],
    [{ generations: [CARD], generation: SD15 }, ''],
    [{ generation: SD15 }, ''],
    [{ generations: [] }, '/generations'],
    [{ generations: [CARD], seeds: { from: 1, count: 2 } }, '/seeds'],
    [{ generations: [{ ...CARD, account: 'x' }] }, '/generations/0/account'],
    [{ generation: SD15, sweep: { seed: [1] }, seeds: { from: 1, count: 2 } }, '/sweep/seed'],
    [{ generation: SD15, sweep: { width: [64] } }, '/generation/parameters/width'],
    [{ generation: { graph: {} }, seeds: { from: 1, count: 2 } }, '/generation'],
    [
      {
        generation: SD15,
        sweep: { steps: Array.from({ length: 26 }, (_, n) => n + 1) },
        seeds: { from: 1, count: 20 },
      },
      '/sweep',
    ],
    [{ generation: SD15, seeds: { from: 1, count: 501 } }, '/sweep'],
    [{ generations: Array.from({ length: 501 }, () => CARD) }, '/generations'],
  ])('%# what is no batch is refused with its place', async (body, pointer) => {
    const { status, json } = await post(`${api}/v1/batches`, body);
    expect([status, json['code']]).toEqual([422, 'invalid_request']);
    expect((json['errors'] as { pointer: string }[]).map((place) => place.pointer)).toContain(pointer);
  });

  test('everything that is wrong is listed by its place, once, with the number of bad generations; nothing is accepted', async () => {
    const before = await countRows();
    const list = await post(`${api}/v1/batches`, {
      generations: [CARD, { template: 'none' }, { ...CARD, parameters: { width: 0 } }, {}],
    });
    expect([list.status, list.json['code']]).toEqual([422, 'invalid_batch']);
    expect(list.json['detail']).toContain('3 of 4 generations');
    const pointers = (list.json['errors'] as { pointer: string }[]).map(({ pointer }) => pointer);
    expect(pointers).toEqual(['/generations/1/template', '/generations/2/parameters/width', '/generations/3']);

    const sweep = await post(`${api}/v1/batches`, {
      generation: { ...SD15, parameters: { prompt: 'x', width: 65 } },
      sweep: { steps: [5, 0, 6], cfg: [1, 'much'] },
    });
    expect(sweep.json['detail']).toContain('6 of 6 generations');
    expect((sweep.json['errors'] as { pointer: string }[]).map(({ pointer }) => pointer).sort()).toEqual([
      '/generation/parameters/width',
      '/sweep/cfg/1',
      '/sweep/steps/1',
    ]);
    expect(await countRows()).toBe(before);
  });

  test('of many that are wrong the first fifty are listed', async () => {
    const { json } = await post(`${api}/v1/batches`, {
      generations: Array.from({ length: 60 }, () => ({ template: 'none' })),
    });
    expect(json['detail']).toContain('60 of 60');
    expect(json['errors']).toHaveLength(50);
  });
});

const countRows = async () => (await setting.database.selectFrom('generations').select('id').execute()).length;

describe('R4.5 credits of a batch', () => {
  test('are held for all or for none', async () => {
    const id = await account(5);
    const short = await post(`${api}/v1/batches`, { ...cards(6), account: id });
    expect([short.status, short.json['code']]).toEqual([402, 'insufficient_credits']);
    expect(await balanceOf(id)).toBe(5);
    const accepted = await batch({ ...cards(5), account: id });
    expect(await balanceOf(id)).toBe(0);
    await call(`${api}/v1/batches/${accepted}/cancel`, { method: 'POST' });
    await call(`${api}/v1/batches/${accepted}/cancel`, { method: 'POST' });
    expect(await balanceOf(id)).toBe(5);
    const { json } = await call(`${api}/v1/accounts/${id}/entries`);
    const entries = json['entries'] as { kind: string; balance: number }[];
    expect(entries.map(({ kind }) => kind)).toEqual([
      ...Array<string>(5).fill('release'),
      ...Array<string>(5).fill('hold'),
      'grant',
    ]);
    expect(entries.map(({ balance }) => balance)).toEqual([5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5]);
  });

  test('of an account that does not exist nothing is accepted', async () => {
    const answer = await post(`${api}/v1/batches`, { ...cards(2), account: 'nobody' });
    expect([answer.status, answer.json['code']]).toEqual([422, 'unknown_account']);
  });
});

describe('Idempotency-Key', () => {
  test('racing requests make one batch and get the same bytes; another body is refused', async () => {
    const send = async (body: Json) => post(`${api}/v1/batches`, body, { 'Idempotency-Key': 'batch-1' });
    const answers = await Promise.all(Array.from({ length: 10 }, async () => send(cards(3))));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers[0]?.headers['location']).toBe(answers[9]?.headers['location']);
    expect((await send(cards(4))).json['code']).toBe('idempotency_mismatch');
  });
});

describe('Reading', () => {
  test('results come as one list in the order of the batch, by pages and by status', async () => {
    const id = await batch(cards(5));
    const all = await members(id);
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const { json } = await call(`${api}/v1/batches/${id}/generations?limit=2${query}`);
      seen.push(...(json['generations'] as Member[]).map((each) => each.id));
      cursor = json['nextCursor'] as string | null;
    }
    expect(seen).toEqual(all.map((each) => each.id));
    await end([seen[3] ?? ''], 'FAILED');
    expect((await members(id, 'status=FAILED,TIMEOUT')).map((each) => each.id)).toEqual([seen[3]]);
    expect(await read(id)).toMatchObject({ percent: 20, counts: { queued: 4, failed: 1 }, finishedAt: null });
    await end(
      seen.filter((each) => each !== seen[3]),
      'CANCELLED',
    );
    expect(await read(id)).toMatchObject({ percent: 100, finishedAt: expect.any(String) });
    const { json } = await call(`${api}/v1/batches?limit=1`);
    expect((json['batches'] as { id: string }[]).map((each) => each.id)).toEqual([id]);
    expect((await call(`${api}/v1/batches?limit=1&cursor=${String(json['nextCursor'])}`)).json['batches']).toHaveLength(
      1,
    );
  });

  test.each(['bat_x', `bat_${'0'.repeat(32)}`])('%s is no batch', async (id) => {
    for (const [path, method] of [
      ['', 'GET'],
      ['/generations', 'GET'],
      ['/events', 'GET'],
      ['/cancel', 'POST'],
      ['/retry', 'POST'],
    ] as const) {
      const { status, json } = await call(`${api}/v1/batches/${id}${path}`, { method });
      expect([status, json['code']]).toEqual([404, 'batch_not_found']);
    }
  });

  test('whoever follows a batch sees how far it is, until all of it has ended', async () => {
    const id = await batch(cards(2));
    const stream = await readEvents(`${api}/v1/batches/${id}/events`);
    await stream.until(({ data }) => data['percent'] === 0);
    const [first, second] = await members(id);
    await call(`${api}/v1/generations/${first?.id ?? ''}/cancel`, { method: 'POST' });
    await stream.until(({ data }) => data['percent'] === 50);
    await call(`${api}/v1/generations/${second?.id ?? ''}/cancel`, { method: 'POST' });
    await stream.ended;
    expect(stream.events.at(-1)?.data).toMatchObject({ percent: 100, counts: { cancelled: 2 } });
  });
});

describe('Feeding', () => {
  const feed = async (window: number) => feedBatches({ database: setting.database, window });

  test('a batch gets no more of the relay than its window, and more when something has ended', async () => {
    await drain();
    const id = await batch(cards(40));
    expect(await feed(12)).toHaveLength(12);
    expect(await feed(12)).toHaveLength(0);
    const fed = (await members(id)).slice(0, 12).map((each) => each.id);
    expect(
      (
        await setting.database
          .selectFrom('outbox')
          .select('generation_id')
          .where('kind', '=', 'start')
          .where('generation_id', 'in', fed)
          .execute()
      ).length,
    ).toBe(12); // in order
    await setting.database.deleteFrom('outbox').where('generation_id', 'in', fed.slice(0, 5)).execute();
    await end(fed.slice(0, 5), 'FAILED');
    expect(await feed(12)).toHaveLength(5);
  });

  test('batches share the window, the better priority of a batch goes first, and none waits for another to end', async () => {
    await drain();
    const large = await batch(cards(100));
    await feed(20);
    const mixed = await batch({ generations: [...Array.from({ length: 15 }, () => CARD), { ...CARD, priority: 1 }] });
    const fed = await feed(20);
    expect(fed).toHaveLength(10);
    expect(fed).toContain((await members(mixed)).at(-1)?.id);
    expect(await unfedOf(large)).toBe(80);
  });

  test('the relay is given accounts in turns, so that one request never stands behind a batch', async () => {
    await drain();
    await batch(cards(30));
    await feed(30);
    const alone = await accept(api);
    const rows = await setting.database
      .selectFrom('outbox')
      .select(['generation_id', 'priority', 'turn'])
      .where('kind', '=', 'start')
      .orderBy('priority')
      .orderBy('turn')
      .orderBy('id')
      .execute();
    expect(rows.findIndex((row) => row.generation_id === alone)).toBeLessThanOrEqual(1);
  });

  test('during an emergency stop nothing is fed', async () => {
    await drain();
    await batch(cards(3));
    await setting.database.insertInto('emergency_stops').values({ reason: 'test' }).execute();
    expect(await feed(12)).toEqual([]);
    await setting.database.updateTable('emergency_stops').set({ resumed_at: new Date() }).execute();
    expect(await feed(12)).toHaveLength(3);
  });
});

/** Nothing waits any more. */
async function drain(): Promise<void> {
  const open = await setting.database.selectFrom('generations').select('id').where('finished_at', 'is', null).execute();
  if (open.length > 0)
    await end(
      open.map(({ id }) => id),
      'CANCELLED',
    );
  await setting.database.deleteFrom('unfed_generations').execute();
  await setting.database.deleteFrom('outbox').execute();
}

describe('Cancelling as a whole', () => {
  test('ends at once what Temporal was never told, and asks for the rest', async () => {
    await drain();
    const id = await batch(cards(20));
    await feedBatches({ database: setting.database, window: 10 });
    const told = (await members(id)).slice(0, 4).map((each) => each.id);
    await setting.database.deleteFrom('outbox').where('generation_id', 'in', told).execute(); // as the relay does
    const answer = await call(`${api}/v1/batches/${id}/cancel`, { method: 'POST' });
    expect(answer.status).toBe(202);
    expect(answer.json).toMatchObject({ counts: { queued: 4, cancelled: 16 }, cancelRequestedAt: expect.any(String) });
    expect(await unfedOf(id)).toBe(0);
    const cancels = await setting.database.selectFrom('outbox').select(['generation_id', 'kind']).execute();
    expect(cancels.every(({ kind }) => kind === 'cancel')).toBe(true);
    expect(cancels.map(({ generation_id: each }) => each)).toEqual(expect.arrayContaining(told));
    expect(cancels).toHaveLength(10); // those that were fed
    await end(told, 'CANCELLED');
    expect((await call(`${api}/v1/batches/${id}/cancel`, { method: 'POST' })).status).toBe(200);
  });
});

describe('Retrying what has failed', () => {
  test('each new one takes the place of its failed one, once, whoever asks how often', async () => {
    const id = await batch(cards(4));
    const before = await members(id);
    const failed = before.slice(1, 3).map((each) => each.id);
    await end(failed, 'FAILED');
    const answers = await Promise.all(Array.from({ length: 5 }, async () => post(`${api}/v1/batches/${id}/retry`, {})));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 202));
    expect(answers.reduce((sum, { json }) => sum + Number(json['retried']), 0)).toBe(2);
    const after = await members(id);
    expect(after.map(({ retryOf }) => retryOf)).toEqual([null, ...failed, null]);
    expect(after.map(({ batch: place }) => place?.index)).toEqual([0, 1, 2, 3]);
    expect(await read(id)).toMatchObject({ total: 4, percent: 0 });
    expect((await call(`${api}/v1/generations/${failed[0] ?? ''}`)).json['batch']).toEqual({ id, index: null });
  });

  test('the retry of one generation takes its place, too', async () => {
    const id = await batch(cards(2));
    const [first] = await members(id);
    await end([first?.id ?? ''], 'FAILED');
    const retry = await post(`${api}/v1/generations/${first?.id ?? ''}/retry`, {});
    expect(retry.json['batch']).toEqual({ id, index: 0 });
    expect(await countsOf(id)).toMatchObject({ queued: 2, failed: 0 });
  });
});
