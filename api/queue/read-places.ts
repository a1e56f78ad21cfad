import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import type { GenerationInput } from '../../workflows/contracts/generation.js';
import type { QueuePlace, WaitingGroup } from '../../workflows/domain/queue-estimate.js';

export interface CountedPlace extends QueuePlace {
  readonly pool: string;
  /** 1 is next, by priority and acceptance. */
  readonly position: number;
}

export interface WaitingPlace extends CountedPlace {
  readonly input: GenerationInput;
}

/** Of those of the ids that wait for a ComfyUI; one pass over what waits in their pools, however many they are. */
export async function readPlaces(
  database: Database,
  ids: readonly string[],
): Promise<ReadonlyMap<string, WaitingPlace>> {
  const { rows } = await sql<WaitingPlace & { readonly id: string }>`
    SELECT waiting.*, generations.workflow_input AS input FROM (
      SELECT id, pool, priority, flow, template,
             (row_number() OVER (PARTITION BY pool ORDER BY priority, created_at, id))::int AS position,
             (row_number() OVER (PARTITION BY pool, priority, flow ORDER BY created_at, id))::int - 1 AS "aheadInFlow"
        FROM generations
       WHERE status = 'QUEUED' AND provider = 'comfyui'
         AND pool IN (SELECT pool FROM generations WHERE id = ANY(${ids}))
    ) AS waiting JOIN generations USING (id) WHERE id = ANY(${ids})`.execute(database);
  return new Map(rows.map((row) => [row.id, row]));
}

export type PooledGroup = WaitingGroup & { readonly pool: string };

/** Everything that waits for a ComfyUI, put together. */
export async function readWaitingGroups(database: Database): Promise<readonly PooledGroup[]> {
  const { rows } = await sql<PooledGroup>`
    SELECT pool, priority, flow, template, count(*)::int AS count
      FROM generations WHERE status = 'QUEUED' AND provider = 'comfyui'
     GROUP BY pool, priority, flow, template`.execute(database);
  return rows;
}
