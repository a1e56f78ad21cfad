import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { CARD, NOWHERE, createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi();
}, 60_000);
afterAll(async () => setting.release());

async function send(key: string, value: unknown = CARD) {
  return post(`${api}/v1/generations`, value, { 'Idempotency-Key': key });
}

async function countOf(probe: string): Promise<number> {
  const rows = await setting.database.selectFrom('generations').select('metadata').execute();
  return rows.filter(({ metadata }) => metadata['probe'] === probe).length;
}

test('two hundred racing requests with one key make one generation and get the same bytes', async () => {
  const body = { ...CARD, metadata: { probe: 'race' } };
  const answers = await Promise.all(Array.from({ length: 200 }, async () => send('race', body)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  expect(answers.filter(({ headers }) => headers['idempotent-replayed'] !== 'true')).toHaveLength(1);
  expect(await countOf('race')).toBe(1);
  const { outbox } = await setting.database
    .selectFrom('outbox')
    .select((eb) => eb.fn.countAll<string>().as('outbox'))
    .where('generation_id', '=', String(answers[0]?.json['id']))
    .executeTakeFirstOrThrow();
  expect(outbox).toBe('1');
});

test('the same request gets the first answer again, word for word, although the generation has moved on', async () => {
  const template = { template: 'sd15-text-to-image', parameters: { prompt: 'x' } };
  const first = await send('again', template);
  await setting.database
    .updateTable('generations')
    .set({ status: 'PROCESSING', started_at: new Date() })
    .where('id', '=', String(first.json['id']))
    .execute();
  const second = await send('again', template);
  expect(second.text).toBe(first.text);
  expect(second.status).toBe(202);
  expect(second.headers).toMatchObject({ 'idempotent-replayed': 'true', location: first.headers['location'] });
  expect(first.headers['idempotent-replayed']).toBeUndefined();
});

test('the order of fields does not make another request, a value does', async () => {
  const first = await send('order', { template: 'test-card', parameters: { width: 64, height: 32 } });
  const same = await send('order', '{"parameters": {"height": 32, "width": 64}, "template": "test-card"}');
  expect(same.text).toBe(first.text);
  const other = await send('order', { template: 'test-card', parameters: { width: 64, height: 33 } });
  expect(other.status).toBe(422);
  expect(other.json).toMatchObject({ code: 'idempotency_mismatch', retryable: false });
});

test('while the first request is still being accepted a second one is told to come back', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const { promise: isHolding, resolve: holding } = withResolvers();
  const first = setting.database.transaction().execute(async (transaction) => {
    await sql`INSERT INTO generations (id, template, graph_key, asked, workflow_input)
              VALUES ('gen_held', 'x', 'x', '{}', '{}')`.execute(transaction);
    await sql`INSERT INTO idempotency_keys (account_id, key, request_sha256, generation_id, response_body)
              VALUES ('default', 'flight', 'x', 'gen_held', '{}')`.execute(transaction);
    holding();
    await held;
  });
  await isHolding;
  const startedAt = Date.now();
  const second = await send('flight');
  const waitedMs = Date.now() - startedAt;
  release();
  await first;
  expect(second.status).toBe(409);
  expect(second.json).toMatchObject({ code: 'idempotency_in_flight', retryable: true });
  expect(second.headers['retry-after']).toBe('1');
  expect(waitedMs).toBeGreaterThan(1_900);
  expect(waitedMs).toBeLessThan(4_000);
});

test('a request that was refused does not use up its key', async () => {
  expect((await send('refused', { template: 'none' })).status).toBe(422);
  expect((await send('refused')).status).toBe(202);
});

test('after 24 hours a key is free again', async () => {
  const first = await send('old');
  await sql`UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'`.execute(
    setting.database,
  );
  const second = await send('old', { template: 'test-card', parameters: { width: 65 } });
  expect(second.status).toBe(202);
  expect(second.json['id']).not.toBe(first.json['id']);
  const third = await send('old', { template: 'test-card', parameters: { width: 65 } });
  expect(third.text).toBe(second.text);
});

test('a repetition is answered although the object store is away', async () => {
  const first = await send('store');
  const cut = await setting.startApi({ S3_ENDPOINT: `http://${NOWHERE}` });
  const second = await post(`${cut}/v1/generations`, CARD, { 'Idempotency-Key': 'store' });
  expect(second.text).toBe(first.text);
});

test.each(['', 'x'.repeat(256), 'schlüssel'])('the key %j is refused', async (key) => {
  const answer = await send(Buffer.from(key).toString('latin1'));
  expect(answer.status).toBe(400);
  expect(answer.json['code']).toBe('invalid_idempotency_key');
});

function withResolvers() {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
