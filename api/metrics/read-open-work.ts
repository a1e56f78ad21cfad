import { sql } from 'kysely';
import { falUsdOfDay } from '../../activities/database/fal-spending.js';
import type { Database } from '../../infra/postgres/database.js';

/** What has been accepted and has not ended, and what Temporal has not been told. */
export interface OpenWork {
  readonly open: readonly { readonly pool: string; readonly status: string; readonly count: number }[];
  /** Those that no GPU has begun. */
  readonly waiting: readonly {
    readonly pool: string;
    readonly priority: number;
    readonly count: number;
    readonly oldestSeconds: number;
  }[];
  readonly outbox: readonly { readonly kind: string; readonly count: number; readonly oldestSeconds: number }[];
  readonly isStopped: boolean;
  readonly falUsdOfDay: number;
}

interface OpenRow {
  readonly pool: string;
  readonly status: string;
  readonly priority: number;
  readonly count: string;
  readonly oldest_seconds: number;
}

export async function readOpenWork(database: Database): Promise<OpenWork> {
  const { rows } = await sql<OpenRow>`
    SELECT workflow_input ->> 'pool' AS pool, status, priority, count(*),
           greatest(0, extract(epoch FROM now() - min(created_at)))::float8 AS oldest_seconds
      FROM generations WHERE finished_at IS NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`.execute(database);
  const outbox = await sql<{ readonly kind: string; readonly count: string; readonly oldest_seconds: number }>`
    SELECT kind, count(*), greatest(0, extract(epoch FROM now() - min(created_at)))::float8 AS oldest_seconds
      FROM outbox GROUP BY 1 ORDER BY 1`.execute(database);
  const stop = await database
    .selectFrom('emergency_stops')
    .select('id')
    .where('resumed_at', 'is', null)
    .executeTakeFirst();
  return {
    open: rows.map(({ pool, status, count }) => ({ pool, status, count: Number(count) })),
    waiting: rows
      .filter(({ status }) => status === 'QUEUED')
      .map(({ pool, priority, count, oldest_seconds: oldestSeconds }) => ({
        ...{ pool, priority, count: Number(count), oldestSeconds },
      })),
    outbox: outbox.rows.map(({ kind, count, oldest_seconds: oldestSeconds }) => ({
      ...{ kind, count: Number(count), oldestSeconds },
    })),
    isStopped: stop !== undefined,
    falUsdOfDay: await falUsdOfDay(database),
  };
}
