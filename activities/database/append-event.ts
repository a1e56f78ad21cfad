import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';

/** Appends one event with the next number of its generation, in one statement; the caller's transaction must hold the generation's row. */
export async function appendEvent(
  transaction: Transaction<DatabaseSchema>,
  generationId: string,
  event: { readonly type: string; readonly data: Readonly<Record<string, unknown>> },
): Promise<void> {
  await transaction
    .with('numbered', (cte) =>
      cte
        .updateTable('generations')
        .set({ event_sequence: sql`event_sequence + 1` })
        .where('id', '=', generationId)
        .returning(['id', 'event_sequence']),
    )
    .insertInto('generation_events')
    .columns(['generation_id', 'sequence', 'type', 'data'])
    .expression((insert) =>
      insert
        .selectFrom('numbered')
        .select(['id', 'event_sequence', sql<string>`${event.type}::text`.as('type')])
        .select(sql<string>`${JSON.stringify(event.data)}::jsonb`.as('data')),
    )
    .executeTakeFirstOrThrow();
}
