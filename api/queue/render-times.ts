import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';

/** Median seconds from start to end of what was rendered lately. */
export interface RenderTimes {
  readonly byTemplate: ReadonlyMap<string, number>;
  /** By `timeKey`. */
  readonly byBackend: ReadonlyMap<string, number>;
}

/** Of each template. */
const LAST_RENDERINGS = 50;

/** What has never been rendered has no time. */
export async function readRenderTimes(database: Database, templates: readonly string[]): Promise<RenderTimes> {
  const { rows } = await sql<{ readonly template: string; readonly backend: string | null; readonly seconds: number }>`
    SELECT wanted.template, last.backend_id AS backend,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY greatest(last.seconds, 0)) AS seconds
      FROM unnest(${templates}::text[]) AS wanted (template)
     CROSS JOIN LATERAL (
       SELECT backend_id, extract(epoch FROM finished_at - started_at)::float AS seconds
         FROM generations
        WHERE template = wanted.template AND status = 'COMPLETED' AND started_at IS NOT NULL AND provider = 'comfyui'
        ORDER BY finished_at DESC LIMIT ${LAST_RENDERINGS}) AS last
     GROUP BY GROUPING SETS ((wanted.template), (wanted.template, last.backend_id))`.execute(database);
  return {
    byTemplate: new Map(rows.flatMap((row) => (row.backend === null ? [[row.template, row.seconds] as const] : []))),
    byBackend: new Map(
      rows.flatMap(({ template, backend, seconds }) =>
        backend === null ? [] : [[timeKey(template, backend), seconds] as const],
      ),
    ),
  };
}

export function timeKey(template: string, backendId: string): string {
  return `${template} ${backendId}`;
}
