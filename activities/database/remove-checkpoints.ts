import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';

/** Removes the checkpoints of generations that ended longer ago than this; answers how many. */
export async function removeCheckpoints(database: Database, hours: number): Promise<number> {
  const { numDeletedRows } = await database
    .deleteFrom('checkpoints')
    .where('generation_id', 'in', (ended) =>
      ended
        .selectFrom('generations')
        .select('id')
        .where('finished_at', '<', sql<Date>`now() - make_interval(hours => ${hours})`),
    )
    .executeTakeFirstOrThrow();
  return Number(numDeletedRows);
}
