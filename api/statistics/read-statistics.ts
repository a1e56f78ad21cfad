import { sql } from 'kysely';
import { falUsdOfDay } from '../../activities/database/fal-spending.js';
import type { Database } from '../../infra/postgres/database.js';
import type { FailureKind } from '../../workflows/domain/failure.js';
import { GENERATION_STATUSES } from '../../workflows/domain/generation-status.js';
import type { GenerationStatus } from '../../workflows/domain/generation-status.js';
import type { RecoverySettings } from '../api-config.js';
import { ProblemError } from '../problem-error.js';

/** How failures of one kind, or recoveries by one strategy, went. */
export interface RecoveryCounts {
  readonly total: number;
  readonly recovered: number;
  readonly failed: number;
  /** Of generations that have not ended. */
  readonly underWay: number;
}

export interface Statistics {
  readonly since: Date;
  readonly until: Date;
  readonly byStatus: Readonly<Record<GenerationStatus, number>>;
  /** From acceptance to the end, of those that are COMPLETED; `null` when none is. */
  readonly seconds: { readonly median: number; readonly p95: number } | null;
  readonly byKind: readonly (RecoveryCounts & { readonly kind: FailureKind })[];
  readonly byStrategy: readonly (RecoveryCounts & { readonly strategy: string })[];
  /** Set aside for fal.ai in the last 24 hours, whatever was asked for. */
  readonly falUsdOfDay: number;
}

export type ReadStatistics = (hours: number) => Promise<Statistics>;

/** Statistics over the database, or a refusal where they are switched off; what they count is recorded all the same. */
export function createReadStatistics(options: {
  readonly database: Database;
  readonly recoverySettings: RecoverySettings;
}): ReadStatistics {
  const { database, recoverySettings } = options;
  return async function readStatistics(hours) {
    if (recoverySettings.hasStatistics) return statisticsOf(database, hours);
    throw new ProblemError('statistics_disabled', 'RECOVERY_STATISTICS_ENABLED is false.');
  };
}

/**
 * What became of the generations that were accepted in the last hours. Every recorded attempt is one failure, of the kind
 * that it followed; so is an end without any attempt. An attempt has recovered when its generation is COMPLETED.
 */
async function statisticsOf(database: Database, hours: number): Promise<Statistics> {
  // One snapshot: counts that are read one after the other would not add up.
  return database
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (transaction) => {
      const period = await transaction
        .selectNoFrom([sql<Date>`now() - make_interval(hours => ${hours})`.as('since'), sql<Date>`now()`.as('until')])
        .executeTakeFirstOrThrow();
      const { since } = period;
      return {
        ...period,
        byStatus: await countByStatus(transaction, since),
        seconds: await secondsOf(transaction, since),
        byKind: await countByKind(transaction, since),
        byStrategy: await countByStrategy(transaction, since),
        falUsdOfDay: await falUsdOfDay(transaction),
      };
    });
}

async function countByStatus(database: Database, since: Date): Promise<Statistics['byStatus']> {
  const rows = await database
    .selectFrom('generations')
    .select(['status', sql<string>`count(*)`.as('count')])
    .where('created_at', '>=', since)
    .groupBy('status')
    .execute();
  const counts = new Map(rows.map(({ status, count }) => [status, Number(count)]));
  const all = GENERATION_STATUSES.map((status) => [status, counts.get(status) ?? 0] as const);
  return Object.fromEntries(all) as Statistics['byStatus'];
}

async function secondsOf(database: Database, since: Date): Promise<Statistics['seconds']> {
  const seconds = sql`extract(epoch FROM finished_at - created_at)`;
  const { median, p95 } = await database
    .selectFrom('generations')
    .select([
      sql<number | null>`percentile_cont(0.5) WITHIN GROUP (ORDER BY ${seconds})`.as('median'),
      sql<number | null>`percentile_cont(0.95) WITHIN GROUP (ORDER BY ${seconds})`.as('p95'),
    ])
    .where('created_at', '>=', since)
    .where('status', '=', 'COMPLETED')
    .executeTakeFirstOrThrow();
  return median === null || p95 === null ? null : { median, p95 };
}

const COUNTS = sql.raw(
  `count(*) AS total, count(*) FILTER (WHERE success) AS recovered,
   count(*) FILTER (WHERE NOT success) AS failed, count(*) FILTER (WHERE success IS NULL) AS under_way`,
);

interface CountRow {
  readonly total: string;
  readonly recovered: string;
  readonly failed: string;
  readonly under_way: string;
}

async function countByKind(database: Database, since: Date): Promise<Statistics['byKind']> {
  const { rows } = await sql<CountRow & { readonly kind: FailureKind }>`
    WITH failures AS (
      SELECT a.kind, CASE WHEN g.finished_at IS NOT NULL THEN g.status = 'COMPLETED' END AS success
        FROM recovery_attempts a JOIN generations g ON g.id = a.generation_id
       WHERE g.created_at >= ${since}
      UNION ALL
      SELECT g.failure_kind, false FROM generations g
       WHERE g.created_at >= ${since} AND g.failure_kind IS NOT NULL
         AND NOT EXISTS (SELECT FROM recovery_attempts a WHERE a.generation_id = g.id)
    )
    SELECT kind, ${COUNTS} FROM failures GROUP BY kind ORDER BY total DESC, kind`.execute(database);
  return rows.map(({ kind, ...counts }) => ({ kind, ...numbersOf(counts) }));
}

async function countByStrategy(database: Database, since: Date): Promise<Statistics['byStrategy']> {
  const { rows } = await sql<CountRow & { readonly strategy: string }>`
    SELECT a.strategy, ${COUNTS} FROM recovery_attempts a JOIN generations g ON g.id = a.generation_id
     WHERE g.created_at >= ${since} GROUP BY a.strategy ORDER BY total DESC, a.strategy`.execute(database);
  return rows.map(({ strategy, ...counts }) => ({ strategy, ...numbersOf(counts) }));
}

function numbersOf(row: CountRow): RecoveryCounts {
  return {
    total: Number(row.total),
    recovered: Number(row.recovered),
    failed: Number(row.failed),
    underWay: Number(row.under_way),
  };
}
