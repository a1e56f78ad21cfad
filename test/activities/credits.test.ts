import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createCancelGeneration } from '../../activities/database/cancel-generation.js';
import { addEntries, addGrant, lockBalance, settleCredits } from '../../activities/database/credits.js';
import { openDatabase } from '../../infra/postgres/database.js';
import type { DatabaseConnection } from '../../infra/postgres/database.js';
import { createTestDatabase, uniqueName } from '../support/stack.js';

let connection: DatabaseConnection;
beforeAll(async () => {
  const url = await createTestDatabase();
  connection = openDatabase({ url, poolSize: 10, onIdleError: () => undefined });
});
afterAll(async () => {
  await connection.close();
});

async function account(credits: number): Promise<string> {
  const id = uniqueName('account');
  await connection.database.insertInto('accounts').values({ id }).execute();
  await grant(id, credits);
  return id;
}

async function grant(id: string, credits: number): Promise<void> {
  await connection.database.transaction().execute(async (transaction) => {
    const balance = await lockBalance(transaction, id);
    if (balance === null) throw new Error('no account');
    await addGrant(transaction, balance, { account_id: id, credits, reference: uniqueName('r') });
  });
}

/** As a request is accepted; `null` when the account has too little. */
async function accepted(accountId: string, credits: number): Promise<string | null> {
  const id = uniqueName('g');
  return connection.database.transaction().execute(async (transaction) => {
    const balance = await lockBalance(transaction, accountId);
    if (balance === null || balance.credits < credits) return null;
    await transaction
      .insertInto('generations')
      .values({
        ...{ id, template: 'graph', graph_key: 'g', asked: '{}', metadata: '{}', workflow_input: '{}' },
        ...{ account_id: accountId, credits },
      })
      .execute();
    await transaction.insertInto('outbox').values({ kind: 'start', generation_id: id }).execute();
    await addEntries(transaction, accountId, balance, { kind: 'hold', of: [{ generationId: id, credits }] });
    return id;
  });
}

const settle = async (id: string, charge: { account_id: string; credits: number | null }, status: string) =>
  connection.database.transaction().execute(async (transaction) => settleCredits(transaction, id, charge, status));

const entriesOf = async (accountId: string) =>
  connection.database
    .selectFrom('credit_entries')
    .selectAll()
    .where('account_id', '=', accountId)
    .orderBy('id')
    .execute();

const balanceOf = async (accountId: string) => Number((await entriesOf(accountId)).at(-1)?.balance ?? 0);

describe('R4.5 Credits', () => {
  test('what is held is captured for a result and released for anything else, once, whoever says it how often', async () => {
    const id = await account(10);
    const done = (await accepted(id, 3)) ?? '';
    const failed = (await accepted(id, 4)) ?? '';
    expect(await balanceOf(id)).toBe(3);
    await Promise.all(
      Array.from({ length: 10 }, async (_, index) =>
        index % 2 === 0
          ? settle(done, { account_id: id, credits: 3 }, 'COMPLETED')
          : settle(failed, { account_id: id, credits: 4 }, 'FAILED'),
      ),
    );
    await settle(done, { account_id: id, credits: 3 }, 'CANCELLED'); // too late
    expect(await balanceOf(id)).toBe(7);
    const kinds = (await entriesOf(id)).map(({ kind, generation_id: generation }) => `${kind} ${generation ?? ''}`);
    expect(kinds.slice(0, 3)).toEqual(['grant ', `hold ${done}`, `hold ${failed}`]);
    expect(kinds.slice(3).sort()).toEqual([`capture ${done}`, `release ${failed}`]);
  });

  test('without an account nothing is written', async () => {
    await settle('g-none', { account_id: 'default', credits: null }, 'COMPLETED');
    const rows = connection.database.selectFrom('credit_entries').where('generation_id', '=', 'g-none');
    expect(await rows.selectAll().execute()).toEqual([]);
  });

  test('a cancel that withdraws the start gives back', async () => {
    const id = await account(2);
    const generation = (await accepted(id, 2)) ?? '';
    const cancel = createCancelGeneration(connection);
    expect(await cancel(generation)).toBe('ended');
    expect(await cancel(generation)).toBe('ended');
    expect((await entriesOf(id)).map(({ kind }) => kind)).toEqual(['grant', 'hold', 'release']);
  });

  test('of 50 requests that race for a balance of 3 exactly 3 are accepted', async () => {
    const id = await account(3);
    const ids = await Promise.all(Array.from({ length: 50 }, async () => accepted(id, 1)));
    expect(ids.filter((each) => each !== null)).toHaveLength(3);
    expect(await balanceOf(id)).toBe(0);
  });

  test('entries are never changed or removed, not even by hand', async () => {
    const id = await account(1);
    const { database } = connection;
    await expect(
      database.updateTable('credit_entries').set({ credits: 9 }).where('account_id', '=', id).execute(),
    ).rejects.toThrow('never changed');
    await expect(database.deleteFrom('credit_entries').where('account_id', '=', id).execute()).rejects.toThrow(
      'never changed',
    );
  });

  test('the sum is right under random orders of events, also at the same time', async () => {
    const event = fc.oneof(
      fc.record({ type: fc.constant('grant' as const), credits: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ type: fc.constant('accept' as const), credits: fc.integer({ min: 1, max: 5 }) }),
      fc.record({
        type: fc.constant('end' as const),
        which: fc.nat(10),
        status: fc.constantFrom('COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED'),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(event, { minLength: 1, maxLength: 4 }), { maxLength: 8 }), async (rounds) => {
        const id = await account(10);
        const open: { id: string; credits: number; settledAs: string | null }[] = [];
        let granted = 10;
        for (const round of rounds) {
          await Promise.all(
            round.map(async (each) => {
              if (each.type === 'grant') {
                granted += each.credits;
                await grant(id, each.credits);
              } else if (each.type === 'accept') {
                const generation = await accepted(id, each.credits);
                if (generation !== null) open.push({ id: generation, credits: each.credits, settledAs: null });
              } else {
                const generation = open[each.which % Math.max(1, open.length)];
                if (generation?.settledAs !== null) return;
                generation.settledAs = each.status;
                await settle(generation.id, { account_id: id, credits: generation.credits }, each.status);
              }
            }),
          );
        }
        const gone = open.filter(({ settledAs }) => settledAs === null || settledAs === 'COMPLETED');
        expect(await balanceOf(id)).toBe(granted - gone.reduce((sum, { credits }) => sum + credits, 0));
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
