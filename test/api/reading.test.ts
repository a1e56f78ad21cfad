import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { BACKEND_REPORT_STALE_MS } from '../../workflows/contracts/backend-report.js';
import type { BackendReport } from '../../workflows/contracts/backend-report.js';
import { testServers } from '../support/stack.js';
import { renderByHand } from './support/render-by-hand.js';
import { CARD, NOWHERE, accept, call, createTestSetting, post } from './support/start-test-api.js';
import type { Json, TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

const read = async (id: string, base = api): Promise<Json> => (await call(`${base}/v1/generations/${id}`)).json;

function report(changes: Partial<BackendReport>): BackendReport {
  return {
    backendId: 'b1',
    pool: 'default',
    health: 'healthy',
    reason: 'ComfyUI 0.8.0 answers',
    gate: 'open',
    addresses: [],
    comfyuiVersion: '0.8.0',
    device: 'gpu',
    deviceName: 'Test GPU',
    vramTotalBytes: 8e9,
    queueRemaining: 0,
    maxGpuJobs: 1,
    capabilitiesKey: null,
    reportedAt: new Date().toISOString(),
    ...changes,
  };
}

describe('listing', () => {
  test('pages go from the newest to the oldest, without gaps or repetitions', async () => {
    const ids: string[] = [];
    for (let index = 0; index < 7; index += 1) ids.unshift(await accept(api, { ...CARD, metadata: { list: 'pages' } }));
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`;
      const { json } = await call(`${api}/v1/generations?limit=3${query}`);
      seen.push(...(json['generations'] as { id: string }[]).map(({ id }) => id));
      cursor = json['nextCursor'] as string | null;
    } while (cursor !== null);
    expect(seen.slice(0, 7)).toEqual(ids);
    expect(new Set(seen).size).toBe(seen.length);
  });

  test('generations of the same instant are all found', async () => {
    const ids: string[] = [];
    for (let index = 0; index < 5; index += 1) ids.push(await accept(api));
    await setting.database
      .updateTable('generations')
      .set({ created_at: sql<Date>`'2031-01-01T00:00:00.123456Z'::timestamptz` })
      .where('id', 'in', ids)
      .execute();
    const seen: string[] = [];
    let cursor = '';
    for (let page = 0; page < 5; page += 1) {
      const { json } = await call(`${api}/v1/generations?limit=1${cursor}`);
      seen.push(...(json['generations'] as { id: string }[]).map(({ id }) => id));
      cursor = `&cursor=${String(json['nextCursor'])}`;
    }
    expect(new Set(seen)).toEqual(new Set(ids));
  });

  test('status and template filter', async () => {
    const id = await accept(api, { template: 'sd15-text-to-image', parameters: { prompt: 'x' } });
    await call(`${api}/v1/generations/${id}/cancel`, { method: 'POST' });
    const listed = async (query: string) =>
      ((await call(`${api}/v1/generations?${query}`)).json['generations'] as { id: string; status: string }[]).map(
        (generation) => generation.id,
      );
    expect(await listed('status=CANCELLED,FAILED&template=sd15-text-to-image')).toEqual([id]);
    expect(await listed('status=COMPLETED')).toEqual([]);
    expect(await listed('template=none')).toEqual([]);
  });

  test.each([
    'limit=0',
    'limit=101',
    'limit=x',
    'status=DONE',
    'cursor=abc',
    'cursor=WyJ4IiwieSJd',
    'page=2',
    'status=',
  ])('the query %s is refused with its name', async (query) => {
    const answer = await call(`${api}/v1/generations?${query}`);
    expect([answer.status, answer.json['code']]).toEqual([400, 'invalid_query']);
    expect((answer.json['errors'] as { pointer: string }[])[0]?.pointer).toBe(`?${String(query.split('=')[0])}`);
  });
});

describe('the queue', () => {
  test('counts by priority, then by acceptance, and counts only what waits', async () => {
    await setting.database
      .updateTable('generations')
      .set({ status: 'CANCELLED', finished_at: new Date() })
      .where('finished_at', 'is', null)
      .execute();
    const low = await accept(api, { ...CARD, priority: 5 });
    const first = await accept(api);
    const second = await accept(api);
    const urgent = await post(`${api}/v1/generations`, { ...CARD, priority: 1 });
    expect(urgent.json['queue']).toMatchObject({ position: 1 });
    const position = async (id: string) => ((await read(id))['queue'] as { position: number } | null)?.position;
    expect([await position(first), await position(second), await position(low)]).toEqual([2, 3, 4]);
    await setting.database
      .updateTable('generations')
      .set({ status: 'PROCESSING', started_at: new Date() })
      .where('id', '=', first)
      .execute();
    expect([await position(first), await position(second), await position(low)]).toEqual([undefined, 2, 3]);
  });

  test('says in words why nothing renders, and how busy the GPUs are when something does', async () => {
    const id = await accept(api);
    const queueNow = async () => (await read(id, await setting.startApi()))['queue'];
    expect(await queueNow()).toMatchObject({
      busy: 0,
      slots: 0,
      reason: 'No GPU worker of the pool "default" has reported yet. Start one with WORKER_ROLES=gpu.',
    });
    const put = async (value: BackendReport) =>
      setting.store.writeJson(`backends/${value.backendId}.json`, value, { kind: 'always' });
    const addresses = [
      { address: '127.0.0.1:8188', said: 'connection refused' },
      { address: '127.0.0.1:7821', said: 'no answer in 5 s' },
    ];
    await put(report({ health: 'down', addresses, queueRemaining: null }));
    expect(await queueNow()).toMatchObject({
      reason: 'No ComfyUI answers. Tried 127.0.0.1:8188 (connection refused), 127.0.0.1:7821 (no answer in 5 s).',
    });
    const gone = new Date(Date.now() - BACKEND_REPORT_STALE_MS - 1_000).toISOString();
    await put(report({ reportedAt: gone }));
    expect(await queueNow()).toMatchObject({ slots: 0, reason: expect.stringContaining('No GPU worker is running') });
    await put(report({ queueRemaining: 3 }));
    await put(report({ backendId: 'b2', maxGpuJobs: 2, queueRemaining: 0 }));
    await put(report({ backendId: 'b3', pool: 'video', maxGpuJobs: 4 }));
    const queue = await queueNow();
    expect(queue).toMatchObject({ busy: 1, slots: 3 });
    expect(queue).not.toHaveProperty('reason');
  });

  test('is still counted when the object store is away', async () => {
    const id = await accept(api);
    const cut = await setting.startApi({ S3_ENDPOINT: `http://${NOWHERE}` });
    expect((await read(id, cut))['queue']).toMatchObject({
      position: expect.any(Number),
      reason: expect.stringContaining('object store does not answer'),
    });
  });
});

test('backends are listed with whether their worker still reports', async () => {
  await setting.store.writeJson('backends/new.json', report({ backendId: 'new' }), { kind: 'always' });
  const reportedAt = new Date(Date.now() - 60_000).toISOString();
  await setting.store.writeJson('backends/old.json', report({ backendId: 'old', reportedAt }), { kind: 'always' });
  await setting.store.writeJson('backends/odd.json', { written: 'by another version' }, { kind: 'always' });
  const { json } = await call(`${await setting.startApi()}/v1/backends`);
  const states = (json['backends'] as { backendId: string; state: string }[]).map(({ backendId, state }) => [
    backendId,
    state,
  ]);
  expect(states).toEqual(
    expect.arrayContaining([
      ['new', 'fresh'],
      ['old', 'stale'],
    ]),
  );
  expect(states.map(([backendId]) => backendId)).not.toContain('odd');
});

test('a failure is shown with its cause, its remedy and the recoveries that were tried', async () => {
  const id = await accept(api);
  await setting.database
    .insertInto('recovery_attempts')
    .values({
      generation_id: id,
      attempt: 1,
      kind: 'CUDA_OOM',
      strategy: 'free_memory',
      message: 'freed',
      success: false,
    })
    .execute();
  await setting.database
    .updateTable('generations')
    .set({
      status: 'FAILED',
      failure_kind: 'CUDA_OOM',
      failure: JSON.stringify({ detail: 'Node 3 (KSampler) needed 9 GB', facts: { node: '3' } }),
      finished_at: new Date(),
    })
    .where('id', '=', id)
    .execute();
  expect(await read(id)).toMatchObject({
    status: 'FAILED',
    error: {
      code: 'cuda_oom',
      kind: 'CUDA_OOM',
      title: 'The GPU ran out of memory',
      detail: 'Node 3 (KSampler) needed 9 GB',
      remedy: expect.stringContaining('smaller'),
      retryable: false,
      userMessage: expect.any(String),
    },
    attempts: [{ attempt: 1, kind: 'CUDA_OOM', strategy: 'free_memory', message: 'freed', success: false }],
    queue: null,
    progress: null,
    finishedAt: expect.any(String),
  });
});

describe('cancelling', () => {
  const cancel = async (id: string) => call(`${api}/v1/generations/${id}/cancel`, { method: 'POST' });
  const outboxOf = async (id: string) =>
    (await setting.database.selectFrom('outbox').select('kind').where('generation_id', '=', id).execute()).map(
      ({ kind }) => kind,
    );
  const eventsOf = async (id: string) =>
    (
      await setting.database
        .selectFrom('generation_events')
        .select('type')
        .where('generation_id', '=', id)
        .orderBy('sequence')
        .execute()
    ).map(({ type }) => type);

  test('ends a generation at once whose Workflow was never started', async () => {
    const id = await accept(api);
    const answer = await cancel(id);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ id, status: 'CANCELLED', finishedAt: expect.any(String), error: null });
    expect(await outboxOf(id)).toEqual(['cancel']); // in case a relay that died had started it all the same
    expect(await eventsOf(id)).toEqual(['accepted', 'cancelled']);
    const again = await cancel(id);
    expect([again.status, again.text]).toEqual([200, answer.text]);
    expect(await eventsOf(id)).toEqual(['accepted', 'cancelled']);
  });

  test('of a started generation is recorded once, for the relay to tell Temporal', async () => {
    const id = await accept(api);
    await setting.database.deleteFrom('outbox').where('generation_id', '=', id).execute();
    for (let round = 0; round < 3; round += 1) {
      const answer = await cancel(id);
      expect(answer.status).toBe(202);
      expect(answer.json).toMatchObject({ status: 'QUEUED', cancelRequestedAt: expect.any(String) });
    }
    expect(await outboxOf(id)).toEqual(['cancel']);
    expect(await eventsOf(id)).toEqual(['accepted', 'cancel_requested']);
  });

  /** A relay that holds the start row while Temporal answers, and lets go of it as told. */
  async function relayOf(id: string) {
    let release: (outcome: 'started' | 'failed') => void = () => undefined;
    const outcome = new Promise<'started' | 'failed'>((resolve) => (release = resolve));
    let hasLock = (): void => undefined;
    const locked = new Promise<void>((resolve) => (hasLock = resolve));
    const ended = setting.database.transaction().execute(async (transaction) => {
      await transaction.selectFrom('outbox').selectAll().where('generation_id', '=', id).forUpdate().execute();
      hasLock();
      if ((await outcome) === 'started')
        await transaction.deleteFrom('outbox').where('generation_id', '=', id).execute();
    });
    await locked;
    return { release, ended };
  }

  test.each([
    ['started', 202, ['accepted', 'cancel_requested']],
    ['failed', 200, ['accepted', 'cancelled']],
  ] as const)('waits for a relay that is starting the Workflow: %s', async (outcome, status, events) => {
    const id = await accept(api);
    const relay = await relayOf(id);
    const answer = cancel(id);
    await untilBlocked();
    relay.release(outcome);
    await relay.ended;
    expect((await answer).status).toBe(status);
    expect(await outboxOf(id)).toEqual(['cancel']);
    expect(await eventsOf(id)).toEqual(events);
  });

  test('says that it could not be recorded when the row stays locked', async () => {
    const id = await accept(api);
    const relay = await relayOf(id);
    const answer = await cancel(id);
    relay.release('failed');
    await relay.ended;
    expect([answer.status, answer.json['code']]).toEqual([503, 'database_unavailable']);
    expect(await eventsOf(id)).toEqual(['accepted']);
  });

  async function untilBlocked(): Promise<void> {
    for (;;) {
      const { rows } = await sql`SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(setting.database);
      if (rows.length > 0) return;
    }
  }

  test('ten at once leave one end and one event', async () => {
    const id = await accept(api);
    const answers = await Promise.all(Array.from({ length: 10 }, async () => cancel(id)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(await eventsOf(id)).toEqual(['accepted', 'cancelled']);
  });
});

test('progress comes from the heartbeat of the rendering activity', async () => {
  const id = await accept(api);
  await setting.database
    .updateTable('generations')
    .set({ status: 'PROCESSING', started_at: new Date() })
    .where('id', '=', id)
    .execute();
  const rendering = await renderByHand(testServers().temporalAddress, id);
  try {
    const beat = { promptId: 'p', state: 'running', nodeId: '3', steps: 20, runningSinceMs: 1 } as const;
    await rendering.heartbeat({ ...beat, step: 5, percent: 25 });
    let view = await read(id);
    while (view['progress'] === null) view = await read(id); // a loaded machine may miss the first second
    expect(view).toMatchObject({
      progress: { percent: 25, node: '3', step: 5, steps: 20 },
      temporal: { runId: rendering.runId },
    });
  } finally {
    await rendering.end();
  }
});
