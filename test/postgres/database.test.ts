import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { openDatabase } from '../../infra/postgres/database.js';
import type { Database, DatabaseConnection } from '../../infra/postgres/database.js';
import { createTestDatabase } from '../support/stack.js';
import { until } from '../support/until.js';

let broken: DatabaseConnection;
let operator: DatabaseConnection;
const idleErrors: Error[] = [];

beforeAll(async () => {
  const url = await createTestDatabase();
  broken = openDatabase({ url, poolSize: 1, onIdleError: (error) => idleErrors.push(error) });
  operator = openDatabase({ url, poolSize: 1, onIdleError: () => undefined });
});
afterAll(async () => {
  await broken.close();
  await operator.close();
});

test('a connection that breaks between two statements of a transaction fails the next one, not the process', async () => {
  const transaction = broken.database.transaction().execute(async (inside) => {
    await terminate(await processIdOf(inside));
    await sql`SELECT 1`.execute(inside);
  });
  await expect(transaction).rejects.toThrow(/connection/i);
  expect(await processIdOf(broken.database)).toBeGreaterThan(0);
});

test('a connection that breaks while idle is reported once and replaced', async () => {
  const before = idleErrors.length;
  await terminate(await processIdOf(broken.database));
  await until('the broken connection is reported', () => Promise.resolve(idleErrors.length > before || null));
  expect(await processIdOf(broken.database)).toBeGreaterThan(0);
  expect(idleErrors).toHaveLength(before + 1);
});

async function processIdOf(database: Database): Promise<number> {
  const { rows } = await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(database);
  return rows[0]?.pid ?? 0;
}

/** Resolves when the connection's own end of it knows, too: the server has closed it. */
async function terminate(pid: number): Promise<void> {
  await sql`SELECT pg_terminate_backend(${pid}, 5000)`.execute(operator.database);
  await new Promise((resolve) => setTimeout(resolve, 100));
}
