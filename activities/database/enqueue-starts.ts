import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';

/**
 * Hands generations to the relay, which starts their Workflows. A flow (an account, or all batches of it) that has many
 * waiting takes turns with the others: its next one comes after its last one, and never before those whose turn it is now.
 */
export async function enqueueStarts(
  transaction: Transaction<DatabaseSchema>,
  generationIds: readonly string[],
): Promise<void> {
  await sql`
    INSERT INTO outbox (kind, generation_id, priority, flow, turn)
    SELECT 'start', id, priority, flow,
           greatest(
             (SELECT max(turn) + 1 FROM outbox WHERE kind = 'start' AND outbox.flow = asked.flow),
             (SELECT min(turn) FROM outbox WHERE kind = 'start'),
             0
           ) + row_number() OVER (PARTITION BY flow ORDER BY priority, id) - 1
      FROM generations AS asked WHERE id = ANY(${generationIds})
     ORDER BY 5, id`.execute(transaction);
}
