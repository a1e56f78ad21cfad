import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import pg from 'pg';
import { until } from '../support/until.js';
import { createTestSetting, post } from './support/start-test-api.js';
import type { Answer, TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  api = await setting.startApi({ DATABASE_POOL_SIZE: '2' });
}, 60_000);
afterAll(async () => setting.release());

/** The pool of the API has no third connection then. */
async function untilBothWait(): Promise<void> {
  await until('two statements wait for a lock', async () => {
    const { rows } = await sql`
      SELECT FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(setting.database);
    return rows.length === 2;
  });
}

interface Expected {
  readonly retryAfter: string;
  readonly detail: string;
}

function expectProblem(answer: Answer, allowed: readonly Expected[]): void {
  expect(answer.status).toBe(503);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(allowed).toContainEqual({ retryAfter: answer.headers['retry-after'], detail: answer.json['detail'] });
  expect(answer.json).toMatchObject({
    ...{ type: '/docs/errors/database_unavailable', code: 'database_unavailable', status: 503 },
    ...{ title: 'The database does not answer', instance: '/v1/generations' },
    ...{ remedy: expect.stringContaining('Retry-After'), retryable: true },
  });
}

test('an account that stays locked, and a pool without a free connection, are answered with 503, Retry-After and a problem', async () => {
  expect((await post(`${api}/v1/accounts`, { id: 'busy' })).status).toBe(200);
  expect((await post(`${api}/v1/accounts/busy/grants`, { credits: 9, reference: 'x' })).status).toBe(200);
  const request = { template: 'sd15-text-to-image', parameters: { prompt: 'a heron' }, account: 'busy' };
  const send = async (headers: Readonly<Record<string, string>> = {}) =>
    post(`${api}/v1/generations`, request, headers);

  const locking = new pg.Client({ connectionString: setting.databaseUrl }); // may idle for longer than ours may
  await locking.connect();
  await locking.query("BEGIN; SELECT FROM accounts WHERE id = 'busy' FOR UPDATE");
  const locked = [send(), send({ 'idempotency-key': 'locked' })];
  await untilBothWait();
  const answers = await Promise.all([...locked, send()]);
  await locking.end();

  const inTheWay = { retryAfter: '1', detail: 'Other requests were in the way for too long.' };
  // A statement that queues behind another waiter waits twice. Its own limit of 10 s may end it before the lock's 8 s do.
  const outOfTime = { retryAfter: '5', detail: 'The database could not be used for this request.' };
  const busy = { retryAfter: '5', detail: 'Other requests used every database connection of the API for 5 s.' };
  for (const [index, allowed] of [[inTheWay], [inTheWay, outOfTime], [busy]].entries()) {
    const answer = answers[index];
    if (answer === undefined) throw new Error(`There is no answer ${index}`);
    expectProblem(answer, allowed);
  }
  expect((await send({ 'idempotency-key': 'locked' })).status).toBe(202);
}, 60_000);
