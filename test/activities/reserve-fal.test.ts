import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createReserveFal } from '../../activities/reserve-fal.js';
import { openDatabase } from '../../infra/postgres/database.js';
import type { DatabaseConnection } from '../../infra/postgres/database.js';
import { createTestDatabase, uniqueName } from '../support/stack.js';
import { environment, failureOf } from './support/activity-world.js';
import { freePort } from './support/stub-server.js';

let connection: DatabaseConnection;
beforeAll(async () => {
  const url = await createTestDatabase();
  connection = openDatabase({ url, poolSize: 8, onIdleError: () => undefined });
});
afterAll(async () => connection.close());

async function accepted(): Promise<string> {
  const id = uniqueName('g');
  const columns = {
    id,
    template: 'graph',
    graph_key: 'graphs/a.json',
    asked: '{}',
    metadata: '{}',
    workflow_input: '{}',
  };
  await connection.database.insertInto('generations').values(columns).execute();
  return id;
}

const CEILINGS = { usdPerGeneration: 0.5, usdPerDay: 1 };

async function reserve(generationId: string, usd: number, { hasKey = true, database = connection.database } = {}) {
  const reserveFal = createReserveFal({ database, hasKey, ceilings: CEILINGS });
  return environment().run(reserveFal, { generationId, modelId: 'fal-ai/a', usd });
}

const READY = { obstacle: null };

const reserved = async () =>
  (await connection.database.selectFrom('fal_reservations').select('usd').execute()).map(({ usd }) => Number(usd));

test('R1.5 without a key nothing is set aside, and the obstacle says what to set', async () => {
  const refused = await reserve(await accepted(), 0.1, { hasKey: false });
  expect(refused).toEqual({ obstacle: expect.stringMatching(/no fal.ai key is set.*FAL_KEY/) });
  expect(await reserved()).toEqual([]);
});

test('one generation over its ceiling is refused for as long as the ceiling stands', async () => {
  const refused = await reserve(await accepted(), 0.51);
  expect(refused).toEqual({
    obstacle: expect.stringMatching(/0\.51 US\$ .* FAL_MAX_USD_PER_GENERATION is 0\.5/),
  });
  expect(await reserved()).toEqual([]);
});

test('a generation has one reservation, and many at once do not pass the ceiling of the day together', async () => {
  const first = await accepted();
  expect(await Promise.all([1, 2, 3].map(async () => reserve(first, 0.25)))).toEqual([READY, READY, READY]);
  expect(await reserved()).toEqual([0.25]);
  const others = await Promise.all(Array.from({ length: 12 }, accepted));
  const answers = await Promise.all(others.map(async (id) => reserve(id, 0.25)));
  expect(answers.filter(({ obstacle }) => obstacle === null)).toHaveLength(3);
  expect(answers.find(({ obstacle }) => obstacle !== null)).toEqual({
    obstacle: expect.stringMatching(/1 US\$ are set aside .* FAL_MAX_USD_PER_DAY is 1/),
    isPassing: true,
  });
  expect(await reserve(first, 0.25)).toEqual(READY); // it stands
  await connection.database
    .updateTable('fal_reservations')
    .set({ created_at: new Date(Date.now() - 25 * 3_600_000).toISOString() })
    .execute();
  expect(await reserve(await accepted(), 0.25)).toEqual(READY);
});

test('without a database it is tried again', async () => {
  const url = `postgres://nobody@127.0.0.1:${await freePort()}/none`;
  const away = openDatabase({ url, poolSize: 1, onIdleError: () => undefined });
  try {
    const failure = await failureOf(reserve('g-1', 0.1, { database: away.database }));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
  } finally {
    await away.close();
  }
});
