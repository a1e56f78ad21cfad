import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import type { GenerationStatus } from '../../workflows/domain/generation-status.js';
import { testServers } from '../support/stack.js';
import { readEvents } from './support/read-events.js';
import type { SseEvent } from './support/read-events.js';
import { renderByHand } from './support/render-by-hand.js';
import { accept, call, createTestSetting } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

/** What a control worker writes: status and event in one transaction. */
async function happen(id: string, type: string, status: GenerationStatus): Promise<void> {
  const isFailure = status === 'FAILED' || status === 'TIMEOUT';
  const isTerminal = isFailure || status === 'COMPLETED' || status === 'CANCELLED';
  await setting.database.transaction().execute(async (transaction) => {
    if (status === 'COMPLETED') {
      const output = { index: 0, kind: 'image', media_type: 'image/png', object_key: 'x.png', bytes: 1 } as const;
      await transaction
        .insertInto('outputs')
        .values({ ...output, generation_id: id, sha256: '0'.repeat(64), is_flat: false })
        .execute();
    }
    const { event_sequence: sequence } = await transaction
      .updateTable('generations')
      .set({
        status,
        event_sequence: sql<number>`event_sequence + 1`,
        ...(isTerminal && { finished_at: new Date() }),
        ...(isFailure && { failure_kind: 'TIMEOUT' as const }),
      })
      .where('id', '=', id)
      .returning('event_sequence')
      .executeTakeFirstOrThrow();
    await transaction
      .insertInto('generation_events')
      .values({ generation_id: id, sequence, type, data: JSON.stringify({ status }) })
      .execute();
  });
}

/** Progress and the place in the queue are not replayed. */
const durableOf = (events: readonly SseEvent[]) => events.filter(({ id }) => id !== null);

const urlOf = (id: string, query = '') => `${api}/v1/generations/${id}/events${query}`;

test('a stream replays what was, then tells what happens, and ends with the generation', async () => {
  const id = await accept(api);
  const stream = await readEvents(urlOf(id));
  expect(stream.status).toBe(200);
  expect(stream.headers).toMatchObject({
    'content-type': 'text/event-stream; charset=utf-8',
    'x-accel-buffering': 'no',
    'cache-control': 'no-store',
  });
  await stream.until(({ event }) => event === 'accepted');
  const startedAt = Date.now();
  await happen(id, 'processing', 'PROCESSING');
  await stream.until(({ event }) => event === 'processing');
  expect(Date.now() - startedAt).toBeLessThan(2_000); // by notification: the safety look comes after 5 s
  await happen(id, 'completed', 'COMPLETED');
  await stream.ended;
  const durable = durableOf(stream.events);
  expect(durable.map(({ id: sequence, event }) => [sequence, event])).toEqual([
    ['1', 'accepted'],
    ['2', 'processing'],
    ['3', 'completed'],
  ]);
  expect(durable.map(({ data }) => data)).toEqual([
    { id, status: 'QUEUED', at: expect.any(String) },
    { id, status: 'PROCESSING', at: expect.any(String) },
    { id, status: 'COMPLETED', at: expect.any(String) },
  ]);
});

test('whoever comes back gets only what was missed', async () => {
  const id = await accept(api);
  await happen(id, 'processing', 'PROCESSING');
  await happen(id, 'timeout', 'TIMEOUT');
  const byHeader = await readEvents(urlOf(id), { 'Last-Event-ID': '1' });
  await byHeader.ended;
  expect(byHeader.events.map(({ id: sequence }) => sequence)).toEqual(['2', '3']);
  const byQuery = await readEvents(urlOf(id, '?after=2'));
  await byQuery.ended;
  expect(byQuery.events.map(({ event }) => event)).toEqual(['timeout']);
  expect((await call(urlOf(id, '?after=3'))).status).toBe(204); // nothing will come: do not come back
});

test.each(['x', '-1', '1.5', '99999999999'])('the event number %s is refused', async (after) => {
  const answer = await call(urlOf(await accept(api), `?after=${after}`));
  expect([answer.status, answer.json['code']]).toEqual([400, 'invalid_query']);
});

test('HEAD opens no stream', async () => {
  const { status, headers } = await call(urlOf(await accept(api)), { method: 'HEAD' });
  expect([status, headers['content-type']]).toEqual([200, 'text/event-stream; charset=utf-8']);
});

test('an event is not lost when the notification connection breaks', async () => {
  const id = await accept(api);
  const stream = await readEvents(urlOf(id));
  await stream.until(({ event }) => event === 'accepted');
  await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN%'`.execute(setting.database);
  await happen(id, 'cancelled', 'CANCELLED');
  await stream.ended;
  expect(durableOf(stream.events).map(({ event }) => event)).toEqual(['accepted', 'cancelled']);
});

test('live progress is sent without a number while a generation renders', async () => {
  const id = await accept(api);
  const rendering = await renderByHand(testServers().temporalAddress, id);
  try {
    const beat = { promptId: 'p', state: 'running', nodeId: '3', steps: 20, runningSinceMs: 1 } as const;
    await rendering.heartbeat({ ...beat, step: 5, percent: 25 });
    await happen(id, 'processing', 'PROCESSING');
    const stream = await readEvents(urlOf(id));
    const first = await stream.until(({ event }) => event === 'progress');
    expect(first).toEqual({
      id: null,
      event: 'progress',
      data: { id, status: 'PROCESSING', progress: { percent: 25, node: '3', step: 5, steps: 20, queuePosition: null } },
    });
    await rendering.heartbeat({ ...beat, step: 10, percent: 50 });
    await stream.until(({ data }) => (data['progress'] as { percent?: number } | undefined)?.percent === 50);
    await happen(id, 'failed', 'FAILED');
    await stream.ended;
    expect(stream.events.at(-1)?.event).toBe('failed');
  } finally {
    await rendering.end();
  }
});

test('a hundred watchers of one generation all see its end', async () => {
  const id = await accept(api);
  const streams = await Promise.all(Array.from({ length: 100 }, async () => readEvents(urlOf(id))));
  await happen(id, 'cancelled', 'CANCELLED');
  await Promise.all(streams.map(async ({ ended }) => ended));
  expect(streams.map(({ events }) => durableOf(events).length)).toEqual(streams.map(() => 2));
});

test('a stopping service ends its streams and answers quickly', async () => {
  const other = await createTestSetting();
  const url = await other.startApi();
  const id = await accept(url);
  const stream = await readEvents(`${url}/v1/generations/${id}/events`);
  await stream.until(({ event }) => event === 'accepted');
  const startedAt = Date.now();
  await other.release();
  await stream.ended;
  expect(Date.now() - startedAt).toBeLessThan(5_000);
});
