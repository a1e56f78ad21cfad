import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { Database } from '../../infra/postgres/database.js';
import { isTerminal } from '../../workflows/domain/generation-status.js';
import { appendEvent } from './append-event.js';
import { settleCredits } from './credits.js';

/** `ended`: nothing is left to cancel, now or before; `requested`: Temporal will be told; `unknown`: no such id. */
export type CancelOutcome = 'ended' | 'requested' | 'unknown';

/** What the event of the cancel says besides. */
type CancelFacts = Readonly<Record<string, unknown>>;

export type CancelGeneration = (id: string, facts?: CancelFacts) => Promise<CancelOutcome>;

/**
 * Makes a cancel durable; Temporal is told by the relay. Locks are taken in the relay's order, outbox row before
 * generation row. A relay that is starting the Workflow right now is waited for: it lets go of its row within 5 s.
 */
export function createCancelGeneration({ database }: { readonly database: Database }): CancelGeneration {
  return async function cancelGeneration(id, facts = {}) {
    return database.transaction().execute(async (transaction) => {
      await sql`SET LOCAL lock_timeout = '6s'`.execute(transaction);
      const isWithdrawn = await withdrawStart(transaction, id);
      return cancelWithin(transaction, id, { isWithdrawn, facts });
    });
  };
}

async function withdrawStart(transaction: Transaction<DatabaseSchema>, id: string): Promise<boolean> {
  const deleted = await transaction
    .deleteFrom('outbox')
    .where('generation_id', '=', id)
    .where('kind', '=', 'start')
    .returning('id')
    .execute();
  return deleted.length > 0;
}

async function cancelWithin(
  transaction: Transaction<DatabaseSchema>,
  ...[id, { isWithdrawn, facts }]: [string, { readonly isWithdrawn: boolean; readonly facts: CancelFacts }]
): Promise<CancelOutcome> {
  const row = await transaction
    .selectFrom('generations')
    .select(['status', 'cancel_requested_at', 'account_id', 'credits'])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) return 'unknown';
  if (isTerminal(row.status)) return 'ended';
  if (!isWithdrawn && row.cancel_requested_at !== null) return 'requested';
  await transaction
    .updateTable('generations')
    .set({
      cancel_requested_at: sql<Date>`now()`,
      ...(isWithdrawn && { status: 'CANCELLED' as const, finished_at: sql<Date>`now()` }),
    })
    .where('id', '=', id)
    .execute();
  // Also after a withdrawn start: a relay that died, or got no answer, may have started the Workflow all the same.
  await transaction
    .insertInto('outbox')
    .values({ kind: 'cancel', generation_id: id })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  await appendEvent(transaction, id, {
    type: isWithdrawn ? 'cancelled' : 'cancel_requested',
    data: { ...facts, status: isWithdrawn ? 'CANCELLED' : row.status },
  });
  if (isWithdrawn) await settleCredits(transaction, id, row, 'CANCELLED');
  return isWithdrawn ? 'ended' : 'requested';
}
