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
  const asked = await database
    .selectFrom('generations')
    .select(['id', 'pool', 'priority', 'flow', 'template', 'workflow_input as input'])
    .where('id', 'in', ids)
    .where('status', '=', 'QUEUED')
    .where('provider', '=', 'comfyui')
    .execute();
  const counted = await countPlaces(database, asked);
  return new Map(
    asked.flatMap((row) => {
      const place = counted.get(row.id); // none: it has begun meanwhile
      return place === undefined ? [] : [[row.id, { ...row, ...place }]];
    }),
  );
}

type Asked = Pick<WaitingPlace, 'pool' | 'flow'> & { readonly id: string };
type Counted = Pick<WaitingPlace, 'position' | 'aheadInFlow'>;

/**
 * The index `generations_waiting` has them in the order of their positions. Only flows that are asked for are sorted once
 * more, by numbers: with 10,000 waiting this takes a quarter of the time of sorting by the text of their columns. Pools are
 * given, not looked up: PostgreSQL knows nothing yet of 10,000 that were just accepted, and looked them up for each.
 */
async function countPlaces(database: Database, asked: readonly Asked[]): Promise<ReadonlyMap<string, Counted>> {
  if (asked.length === 0) return new Map();
  const [ids, pools, flows] = [
    asked.map(({ id }) => id),
    [...new Set(asked.map(({ pool }) => pool))],
    [...new Set(asked.map(({ flow }) => flow))],
  ];
  const { rows } = await sql<Counted & { readonly id: string }>`
    SELECT id, position, "aheadInFlow" FROM (
      SELECT id, position,
             (row_number() OVER (PARTITION BY pool, priority, flow_number ORDER BY position))::int - 1 AS "aheadInFlow"
        FROM (
          SELECT id, pool, priority, array_position(${flows}::text[], flow) AS flow_number,
                 (row_number() OVER (PARTITION BY pool ORDER BY priority, created_at, id))::int AS position
            FROM generations
           WHERE status = 'QUEUED' AND provider = 'comfyui' AND pool = ANY(${pools})
        ) AS waiting
       WHERE flow_number IS NOT NULL
    ) AS counted WHERE id = ANY(${ids})`.execute(database);
  return new Map(rows.map(({ id, ...place }) => [id, place]));
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
