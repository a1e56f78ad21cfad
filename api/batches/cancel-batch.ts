import { sql } from 'kysely';
import { beginCancel, cancelWithin } from '../../activities/database/cancel-generation.js';
import type { Database } from '../../infra/postgres/database.js';

/** Cancels what is open of a batch; says whether all of it has ended, `unknown` when there is no such batch. */
export type CancelBatch = (id: string) => Promise<'ended' | 'requested' | 'unknown'>;

/** In one transaction: what Temporal was never told ends at once, the rest is told by the relay. */
export function createCancelBatch({ database }: { readonly database: Database }): CancelBatch {
  return async function cancelBatch(id) {
    return database.transaction().execute(async (transaction) => {
      await beginCancel(transaction);
      const batch = await transaction
        .updateTable('batches')
        .set({ cancel_requested_at: sql<Date>`coalesce(cancel_requested_at, now())` })
        .where('id', '=', id)
        .returning('id')
        .executeTakeFirst();
      if (batch === undefined) return 'unknown';
      const open = await transaction
        .selectFrom('generations')
        .select('id')
        .where('batch_id', '=', id)
        .where('finished_at', 'is', null)
        .execute();
      const ids = open.map((row) => row.id);
      const outcomes = await cancelWithin(transaction, ids, { batchId: id });
      return [...outcomes.values()].includes('requested') ? 'requested' : 'ended';
    });
  };
}
