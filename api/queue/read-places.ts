import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import type { QueuePlace, WaitingGroup } from '../../workflows/domain/queue-estimate.js';

export interface CountedPlace extends QueuePlace {
  readonly pool: string;
  /** 1 is next, by priority and acceptance. */
  readonly position: number;
}

/** Of those of the ids that wait; one pass over what waits in their pools, however many they are. */
export async function readPlaces(
  database: Database,
  ids: readonly string[],
): Promise<ReadonlyMap<string, CountedPlace>> {
  const { rows } = await sql<CountedPlace & { readonly id: string }>`
    SELECT * FROM (
      SELECT id, pool, priority, flow, template,
             (row_number() OVER (PARTITION BY pool ORDER BY priority, created_at, id))::int AS position,
             (row_number() OVER (PARTITION BY pool, priority, flow ORDER BY created_at, id))::int - 1 AS "aheadInFlow"
        FROM generations
       WHERE status = 'QUEUED' AND pool IN (SELECT pool FROM generations WHERE id = ANY(${ids}))
    ) AS waiting WHERE id = ANY(${ids})`.execute(database);
  return new Map(rows.map((row) => [row.id, row]));
}

export type PooledGroup = WaitingGroup & { readonly pool: string };

/** Everything that waits, put together. */
export async function readWaitingGroups(database: Database): Promise<readonly PooledGroup[]> {
  const { rows } = await sql<PooledGroup>`
    SELECT pool, priority, flow, template, count(*)::int AS count
      FROM generations WHERE status = 'QUEUED' GROUP BY pool, priority, flow, template`.execute(database);
  return rows;
}
