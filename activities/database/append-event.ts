import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';

/** Appends one event with the next number of its generation; the caller's transaction must hold the generation's row. */
export async function appendEvent(
  transaction: Transaction<DatabaseSchema>,
  generationId: string,
  event: { readonly type: string; readonly data: Readonly<Record<string, unknown>> },
): Promise<void> {
  const { event_sequence } = await transaction
    .updateTable('generations')
    .set({ event_sequence: sql`event_sequence + 1` })
    .where('id', '=', generationId)
    .returning('event_sequence')
    .executeTakeFirstOrThrow();
  await transaction
    .insertInto('generation_events')
    .values({
      generation_id: generationId,
      sequence: event_sequence,
      type: event.type,
      data: JSON.stringify(event.data),
    })
    .execute();
}
