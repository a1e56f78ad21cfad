import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readPlaces } from '../../api/queue/read-places.js';
import { openDatabase } from '../../infra/postgres/database.js';
import type { DatabaseConnection } from '../../infra/postgres/database.js';
import { createTestDatabase } from '../support/stack.js';

let connection: DatabaseConnection;

beforeAll(async () => {
  const url = await createTestDatabase();
  connection = openDatabase({ url, poolSize: 2, onIdleError: () => undefined });
});
afterAll(async () => connection.close());

/** Every combination of two pools, three priorities and three flows, several of each, in an order that mixes them. */
const ROWS = Array.from({ length: 120 }, (_, index) => ({
  id: `gen_${String((index * 77) % 120).padStart(3, '0')}`,
  pool: index % 2 === 0 ? 'default' : 'other',
  priority: 2 + (index % 3),
  batch: index % 5 === 0,
  account_id: index % 7 < 4 ? 'anna' : 'bert',
  // Those of a batch are accepted in one transaction, at the same microsecond.
  created_at: new Date(Date.UTC(2026, 0, 1) + Math.floor(index / 4) * 1_000),
  status: index % 11 === 0 ? ('PROCESSING' as const) : ('QUEUED' as const),
  provider: index % 13 === 0 ? ('fal' as const) : ('comfyui' as const),
}));

test('places are counted by pool, priority and acceptance; those ahead in the flow are of one priority and pool', async () => {
  const { database } = connection;
  await database.insertInto('batches').values({ id: 'bat_1', total: 120 }).execute();
  const values = ROWS.map(({ batch, pool, ...row }, index) => ({
    ...{ ...row, template: 'graph', graph_key: 'g', metadata: '{}', asked: '{}' },
    workflow_input: JSON.stringify({ pool, graph: { key: row.id } }),
    ...(batch && { batch_id: 'bat_1', batch_index: index }),
  }));
  await database.insertInto('generations').values(values).execute();
  const stored = await database.selectFrom('generations').select(['id', 'flow']).execute();
  const flows = new Map(stored.map(({ id, flow }) => [id, flow]));
  expect(new Set(flows.values()).size).toBeGreaterThan(2);

  const keyOf = (row: (typeof ROWS)[number]) => `${row.priority} ${row.created_at.toISOString()} ${row.id}`;
  const waiting = ROWS.filter(({ status, provider }) => status === 'QUEUED' && provider === 'comfyui');
  const expected = new Map(
    waiting.map((row) => {
      const ahead = waiting.filter((other) => other.pool === row.pool && keyOf(other) < keyOf(row));
      const ofFlow = ahead.filter((other) => flows.get(other.id) === flows.get(row.id));
      const aheadInFlow = ofFlow.filter(({ priority }) => priority === row.priority).length;
      return [row.id, { position: ahead.length + 1, aheadInFlow }] as const;
    }),
  );
  for (const asked of [ROWS, ROWS.slice(40, 60), waiting.slice(-1)]) {
    const places = await readPlaces(
      database,
      asked.map(({ id }) => id),
    );
    const counted = [...places].map(([id, { position, aheadInFlow }]) => [id, { position, aheadInFlow }] as const);
    expect(new Map(counted)).toEqual(new Map([...expected].filter(([id]) => asked.some((row) => row.id === id))));
    for (const [id, { input }] of places) expect(input.graph.key).toBe(id);
  }
  expect(await readPlaces(database, ['gen_unknown'])).toEqual(new Map());
});
