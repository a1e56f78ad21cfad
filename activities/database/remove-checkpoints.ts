import { sql } from 'kysely';
import type { ObjectStore } from '../storage/object-store.js';
import { discardOutputs } from '../storage/discard-outputs.js';
import type { Database } from '../../infra/postgres/database.js';

/** Removes the checkpoints of generations that ended longer ago than this, and what is stored for them; answers how many. */
export async function removeCheckpoints(
  { database, store }: { readonly database: Database; readonly store: ObjectStore },
  hours: number,
): Promise<number> {
  const leaving = await database
    .selectFrom('checkpoints')
    .innerJoin('generations', 'id', 'generation_id')
    .select('id')
    .where('finished_at', '<', sql<Date>`now() - make_interval(hours => ${hours})`)
    .where('status', '<>', 'COMPLETED')
    .where('resumption', 'is not', null)
    .execute();
  for (const { id } of leaving) await discardOutputs(store, id); // first: what has a row is found again
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
