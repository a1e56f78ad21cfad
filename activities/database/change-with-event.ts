import { sql } from 'kysely';
import type { Expression, Kysely, SqlBool, UpdateObject } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';

export interface GenerationChange {
  readonly set: UpdateObject<DatabaseSchema, 'generations'>;
  /** Without it the generation is changed as it is. */
  readonly when?: Expression<SqlBool>;
  readonly event: { readonly type: string; readonly data: Readonly<Record<string, unknown>> };
}

/**
 * Changes a generation and appends an event with its next number, both in one statement, so that numbers have no gap and
 * come in the order of the changes. False when there was nothing to change, and then nothing is appended.
 */
export async function changeWithEvent(
  database: Kysely<DatabaseSchema>,
  generationId: string,
  { set, when = sql<SqlBool>`true`, event }: GenerationChange,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await database
    .with('changed', (cte) =>
      cte
        .updateTable('generations')
        .set({ ...set, event_sequence: sql`event_sequence + 1` })
        .where('id', '=', generationId)
        .where(when)
        .returning(['id', 'event_sequence']),
    )
    .insertInto('generation_events')
    .columns(['generation_id', 'sequence', 'type', 'data'])
    .expression((insert) =>
      insert
        .selectFrom('changed')
        .select(['id', 'event_sequence', sql<string>`${event.type}::text`.as('type')])
        .select(sql<string>`${JSON.stringify(event.data)}::jsonb`.as('data')),
    )
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}
