import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { BatchPlace, NewGeneration, PlacedGeneration } from './insert-generations.js';

/** A retry takes the place that its generation has in a batch; of several retries of the same one, the first. */
export async function takePlaces(
  transaction: Transaction<DatabaseSchema>,
  generations: readonly NewGeneration[],
): Promise<readonly PlacedGeneration[]> {
  const retried = generations.flatMap(({ retryOf }) => retryOf ?? []);
  const places = retried.length === 0 ? new Map<string, BatchPlace>() : await vacate(transaction, retried);
  return generations.map((generation) => ({ ...generation, place: places.get(generation.retryOf ?? '') ?? null }));
}

async function vacate(
  transaction: Transaction<DatabaseSchema>,
  ids: readonly string[],
): Promise<ReadonlyMap<string, BatchPlace>> {
  const { rows } = await sql<BatchPlace & { readonly id: string }>`
    WITH held AS (
      SELECT id, batch_id, batch_index FROM generations
       WHERE id = ANY(${ids}) AND batch_index IS NOT NULL ORDER BY id FOR UPDATE
    )
    UPDATE generations SET batch_index = NULL FROM held WHERE generations.id = held.id
    RETURNING held.id, held.batch_id AS "batchId", held.batch_index AS index`.execute(transaction);
  return new Map(rows.map(({ id, batchId, index }) => [id, { batchId, index }]));
}
