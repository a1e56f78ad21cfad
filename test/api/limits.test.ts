import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { BackendReport } from '../../workflows/contracts/backend-report.js';
import { readEvents } from './support/read-events.js';
import { CARD, accept, call, createTestSetting, post } from './support/start-test-api.js';
import type { Json, TestSetting } from './support/start-test-api.js';

let setting: TestSetting;

beforeAll(async () => {
  setting = await createTestSetting();
}, 60_000);
afterAll(async () => setting.release());

const nothingWaits = async () => {
  await setting.database
    .updateTable('generations')
    .set({ status: 'CANCELLED', finished_at: new Date() })
    .where('finished_at', 'is', null)
    .execute();
};
beforeEach(nothingWaits);

async function openOf(accountId: string): Promise<number> {
  const rows = await setting.database
    .selectFrom('generations')
    .select('id')
    .where('account_id', '=', accountId)
    .where('finished_at', 'is', null)
    .execute();
  return rows.length;
}

async function account(api: string, limits: Json = {}): Promise<string> {
  const id = `a${Math.random().toString(36).slice(2)}`;
  await post(`${api}/v1/accounts`, { id });
  await post(`${api}/v1/accounts/${id}/grants`, { credits: 1_000, reference: 'x' });
  const { status } = await post(`${api}/v1/accounts/${id}/limits`, limits);
  expect(status).toBe(200);
  return id;
}

/** A GPU as a worker reports it. */
async function report(changes: Partial<BackendReport>): Promise<void> {
  const value: BackendReport = {
    ...{ backendId: 'b1', pool: 'default', health: 'healthy', reason: 'ComfyUI 0.8.0 answers', gate: 'open' },
    ...{ addresses: [], comfyuiVersion: '0.8.0', device: 'gpu', deviceName: 'Test GPU', vramTotalBytes: 8e9 },
    ...{ queueRemaining: 1, maxGpuJobs: 1, capabilitiesKey: null, reportedAt: new Date().toISOString() },
    ...changes,
  };
  await setting.store.writeJson(`backends/${value.backendId}.json`, value, { kind: 'always' });
}

/** Of test-card, so long each. */
async function rendered(seconds: number, count = 5): Promise<void> {
  await setting.database.deleteFrom('generations').where('status', '=', 'COMPLETED').execute();
  const ended = Date.now();
  for (let index = 0; index < count; index += 1) {
    const id = `gen_${Math.random().toString(16).slice(2)}`;
    await setting.database
      .insertInto('generations')
      .values({ id, template: 'test-card', graph_key: 'x', asked: '{}', metadata: '{}', workflow_input: '{}' })
      .execute();
    const output = { index: 0, kind: 'image', media_type: 'image/png', object_key: 'x', bytes: 1 } as const;
    await setting.database
      .insertInto('outputs')
      .values({ ...output, generation_id: id, sha256: '0'.repeat(64), is_flat: false })
      .execute();
    await setting.database
      .updateTable('generations')
      .set({
        status: 'COMPLETED',
        backend_id: 'b1',
        started_at: new Date(ended - seconds * 1_000),
        finished_at: new Date(ended),
      })
      .where('id', '=', id)
      .execute();
  }
}

describe('Back-pressure', () => {
  test('of 100 requests that race over two APIs no more are accepted than the account may have open', async () => {
    const apis = [
      await setting.startApi({ MAX_OPEN_PER_ACCOUNT: '7' }),
      await setting.startApi({ MAX_OPEN_PER_ACCOUNT: '7' }),
    ];
    const id = await account(apis[0] ?? '');
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, index) =>
        post(`${apis[index % 2] ?? ''}/v1/generations`, { ...CARD, account: id }),
      ),
    );
    const accepted = answers.filter(({ status }) => status === 202);
    expect(accepted).toHaveLength(7);
    expect(await openOf(id)).toBe(7);
    const refused = answers.filter(({ status }) => status !== 202);
    for (const { status, json, headers } of refused) {
      expect([status, json['code'], json['retryable']]).toEqual([429, 'account_queue_full', true]);
      expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    }
    expect((await call(`${apis[0] ?? ''}/v1/accounts/${id}`)).json).toMatchObject({ open: 7, balance: 993 });
    expect(await post(`${apis[0] ?? ''}/v1/generations`, CARD)).toMatchObject({ status: 202 }); // others go on
  }, 60_000);

  test('of 100 requests that race over two APIs no more are accepted than the service may have open', async () => {
    const env = { MAX_OPEN_GENERATIONS: '9' };
    const apis = [await setting.startApi(env), await setting.startApi(env)];
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => post(`${apis[index % 2] ?? ''}/v1/generations`, CARD)),
    );
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(9);
    expect(await openOf('default')).toBe(9);
    expect(answers.find(({ status }) => status !== 202)).toMatchObject({ status: 503, json: { code: 'queue_full' } });
  }, 60_000);

  test('racing batches and single requests stay within the limit, too; a batch fits as a whole or not at all', async () => {
    const api = await setting.startApi({ MAX_OPEN_PER_ACCOUNT: '50' });
    const generations = Array.from({ length: 20 }, () => CARD);
    const answers = await Promise.all([
      ...Array.from({ length: 5 }, async () => post(`${api}/v1/batches`, { generations })),
      ...Array.from({ length: 20 }, async () => post(`${api}/v1/generations`, CARD)),
    ]);
    const accepted = answers.filter(({ status }) => status === 202).map(({ json }) => Number(json['total'] ?? 1));
    const open = await openOf('default');
    expect(open).toBe(accepted.reduce((sum, each) => sum + each, 0));
    expect(open).toBeLessThanOrEqual(50);
    expect(open).toBeGreaterThan(30);
  }, 60_000);

  test('an account may have a limit of its own, also none at all', async () => {
    const api = await setting.startApi({ MAX_OPEN_PER_ACCOUNT: '1' });
    const id = await account(api, { maxOpen: 3 });
    for (let index = 0; index < 3; index += 1) await accept(api, { ...CARD, account: id });
    expect((await post(`${api}/v1/generations`, { ...CARD, account: id })).json['code']).toBe('account_queue_full');
    const back = await post(`${api}/v1/accounts/${id}/limits`, { maxOpen: null });
    expect(back.json).toMatchObject({ open: 3, limits: { bestPriority: 1, maxOpen: 1, weight: 1 } });
    const shut = await account(api, { maxOpen: 0 });
    expect((await post(`${api}/v1/generations`, { ...CARD, account: shut })).status).toBe(429);
  });

  test('Retry-After comes from how long renderings take', async () => {
    await report({});
    await rendered(40);
    const api = await setting.startApi({ MAX_OPEN_PER_ACCOUNT: '2' });
    await accept(api);
    const answer = await post(`${api}/v1/batches`, { generations: [CARD, CARD, CARD] });
    expect([answer.status, answer.headers['retry-after']]).toEqual([429, '80']); // two must end before
  });
});

describe('Priority', () => {
  test('a better one than the account may use is refused, with the best one', async () => {
    const api = await setting.startApi();
    const id = await account(api, { bestPriority: 4 });
    const refused = await post(`${api}/v1/generations`, { ...CARD, account: id, priority: 3 });
    expect(refused).toMatchObject({ status: 403, json: { code: 'priority_not_allowed' } });
    expect(refused.json['errors']).toMatchObject([{ pointer: '/priority', allowed: { min: 4, max: 5 } }]);
    expect(refused.json['remedy']).toContain('4');
    const usual = await post(`${api}/v1/generations`, { ...CARD, account: id });
    expect(usual.json['priority']).toBe(4);
    const batch = await post(`${api}/v1/batches`, { generations: [CARD, CARD], priority: 1, account: id });
    expect(batch).toMatchObject({ status: 422, json: { code: 'invalid_batch' } });
  });

  test('the service has a best one for accounts without a word of their own', async () => {
    const api = await setting.startApi({ BEST_PRIORITY: '2' });
    expect((await post(`${api}/v1/generations`, { ...CARD, priority: 1 })).status).toBe(403);
    expect((await post(`${api}/v1/generations`, { ...CARD, priority: 2 })).status).toBe(202);
  });

  test.each([{ bestPriority: 6 }, { maxOpen: -1 }, { weight: 0 }, { weight: 1001 }, { other: 1 }])(
    'the limits %j are refused',
    async (limits) => {
      const api = await setting.startApi();
      await post(`${api}/v1/accounts`, { id: 'limited' });
      expect((await post(`${api}/v1/accounts/limited/limits`, limits)).status).toBe(422);
      expect((await post(`${api}/v1/accounts/nobody/limits`, {})).status).toBe(404);
    },
  );
});

describe('R4.3 the place in the queue', () => {
  const queueOf = (json: Json) => json['queue'] as Json;

  test('is none for what goes to fal.ai, which takes none from those that wait for a ComfyUI either', async () => {
    await report({});
    const api = await setting.startApi();
    const onFal = { template: 'sd15-text-to-image', parameters: { prompt: 'a heron' }, provider: 'fal' };
    const accepted = await post(`${api}/v1/generations`, onFal);
    expect(accepted).toMatchObject({ status: 202, json: { provider: 'fal', providerMode: 'fal', queue: null } });
    const read = await call(`${api}/v1/generations/${String(accepted.json['id'])}`);
    expect(read.json).toMatchObject({ status: 'QUEUED', queue: null });
    const kept = await post(`${api}/v1/generations`, { ...CARD, provider: 'comfyui-only' });
    expect(kept.json).toMatchObject({ provider: 'comfyui', providerMode: 'comfyui-only', queue: { position: 1 } });
    const batch = await post(`${api}/v1/batches`, { generation: onFal, seeds: { from: 1, count: 2 } });
    expect(batch).toMatchObject({ status: 202, json: { endsInSeconds: null } });
  });

  test('is told with an estimate, at acceptance, on reading and in the language of the end user', async () => {
    await report({});
    await rendered(20, 60); // the latest fifty count
    const api = await setting.startApi();
    await accept(api);
    await accept(api);
    const third = await post(`${api}/v1/generations`, CARD, { 'Accept-Language': 'en' });
    expect(queueOf(third.json)).toMatchObject({ position: 3, isApproximate: false, busy: 1, slots: 1 });
    expect(queueOf(third.json)['userMessage']).toBe(
      '⏳ Server busy 1/1, position 3. Your generation will start in a few seconds...',
    );
    const url = `${api}/v1/generations/${String(third.json['id'])}`;
    const russian = await call(url, { headers: { 'Accept-Language': 'ru' } });
    // Two before it, and what is left of the one that renders.
    expect(queueOf(russian.json)).toMatchObject({ position: 3, startsInSeconds: 50, endsInSeconds: 70 });
    expect(queueOf(russian.json)['userMessage']).toBe(
      '⏳ Сервер загружен (1/1 задач). Ваша генерация начнется через несколько секунд...',
    );
  });

  test('a long wait is told in minutes', async () => {
    await report({});
    await rendered(100, 60);
    const api = await setting.startApi();
    await accept(api);
    const { json } = await post(`${api}/v1/generations`, CARD, { 'Accept-Language': 'ru' });
    expect(queueOf(json)['userMessage']).toBe(
      '⏳ Сервер загружен (1/1 задач). Ваша генерация начнется примерно через 3 мин.',
    );
  });

  test('of two accounts it is approximate, and the estimate knows that they take turns', async () => {
    await report({});
    await rendered(10, 60);
    const api = await setting.startApi();
    const [flood, other] = [await account(api), await account(api)];
    await post(`${api}/v1/batches`, { generations: Array.from({ length: 50 }, () => CARD), account: flood });
    await new Promise((resolve) => setTimeout(resolve, 1_100)); // what waits is looked at once a second
    const { json } = await post(`${api}/v1/generations`, { ...CARD, account: other });
    expect(queueOf(json)).toMatchObject({ position: 51, isApproximate: true });
    expect(Number(queueOf(json)['startsInSeconds'])).toBeLessThan(30);
  });

  test('those who follow a generation are told when its place changes', async () => {
    const api = await setting.startApi();
    const [first, second] = [await accept(api), await accept(api)];
    const stream = await readEvents(`${api}/v1/generations/${second}/events`, { 'Accept-Language': 'ru' });
    const placed = await stream.until(({ event }) => event === 'queue');
    expect(placed).toMatchObject({ id: null, data: { id: second, status: 'QUEUED', queue: { position: 2 } } });
    await call(`${api}/v1/generations/${first}/cancel`, { method: 'POST' });
    await stream.until(({ event, data }) => event === 'queue' && queueOf(data)['position'] === 1);
    await call(`${api}/v1/generations/${second}/cancel`, { method: 'POST' });
    await stream.ended;
    expect(stream.events.filter(({ event }) => event === 'queue')).toHaveLength(2); // only what is new
  });
});

test('Accounts are listed newest first, page by page, each once, and a cursor of others is refused', async () => {
  const api = await setting.startApi();
  const made = [await account(api), await account(api, { maxOpen: 7 }), await account(api)];
  const pages: string[][] = [];
  let cursor: string | null = null;
  do {
    const from: string = cursor === null ? '' : `&cursor=${cursor}`;
    const { json } = await call(`${api}/v1/accounts?limit=2${from}`);
    pages.push((json['accounts'] as readonly { readonly id: string }[]).map(({ id }) => id));
    cursor = json['nextCursor'] as string | null;
  } while (cursor !== null);
  expect(pages.slice(0, -1).every((page) => page.length === 2)).toBe(true);
  const all = pages.flat();
  expect(all.slice(0, 3)).toEqual([...made].reverse());
  expect(new Set(all).size).toBe(all.length);
  const { json } = await call(`${api}/v1/accounts?limit=3`);
  expect(json['accounts']).toMatchObject([{}, { id: made[1], balance: 1_000, limits: { maxOpen: 7 } }, {}]);
  for (const query of ['limit=0', 'limit=101', 'cursor=x', 'before=1'])
    expect((await call(`${api}/v1/accounts?${query}`)).json).toMatchObject({ code: 'invalid_query' });
});
