import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { Database } from '../../infra/postgres/database.js';
import type { Resumption } from '../../workflows/contracts/checkpoint.js';

/** Of a generation that has failed; `null` when it has left nothing. */
export async function readResumption(database: Database, generationId: string): Promise<Resumption | null> {
  const row = await database
    .selectFrom('checkpoints')
    .select('resumption')
    .where('generation_id', '=', generationId)
    .where('resumption', 'is not', null)
    .executeTakeFirst();
  return row?.resumption ?? null;
}

/** As the last checkpoint, after those of its recoveries. */
export async function writeResumption(
  transaction: Transaction<DatabaseSchema>,
  ...[generationId, resumption]: [string, Resumption]
): Promise<void> {
  await transaction
    .insertInto('checkpoints')
    .values({
      generation_id: generationId,
      attempt: sql<number>`(SELECT count(*) + 1 FROM recovery_attempts WHERE generation_id = ${generationId})`,
      progress_percent: percentOf(resumption),
      completed_nodes: '[]',
      graph_key: resumption.graph.key,
      files: JSON.stringify(resumption.stored.map(({ objectKey }) => objectKey)),
      resumption: JSON.stringify(resumption),
    })
    .execute();
}

/** Pictures that are stored, of all of the batch. */
function percentOf({ left }: Resumption): number {
  const [next, last] = [left[0], left.at(-1)];
  return next === undefined || last === undefined ? 0 : (100 * next.first) / (last.first + last.count);
}
