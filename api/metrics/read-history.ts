import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import { SettledTally } from './settled-tally.js';
import type { Tally } from './settled-tally.js';

/** Upper bounds in seconds: pictures of a second, videos of an hour, and a queue of a day. */
export const DURATION_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400];

/** Totals since the first generation, each grouped as said. */
export interface History {
  /** By template. */
  readonly accepted: readonly Tally[];
  /** By status, failure kind (or empty), template and provider. */
  readonly ended: readonly Tally[];
  /** Of completed ones in seconds, by template, phase and number of the bucket. */
  readonly durations: readonly Tally[];
  /** Of ended ones, by kind, strategy and `true` or `false`. */
  readonly recoveries: readonly Tally[];
  /** Sums, by kind of the entry. */
  readonly credits: readonly Tally[];
}

/**
 * No transaction of ours is open for longer, so nothing appears any more that is dated before; times are those of the
 * beginning of a transaction.
 */
const SETTLED_AFTER_SECONDS = 60;

interface Look {
  /** Exact as text: a JavaScript date has no microseconds. */
  readonly after: string;
  readonly settledBefore: string;
}

/** Reads on from where the last look ended: the first one reads everything, the others the last minute. */
export function createReadHistory(database: Database): () => Promise<History> {
  const tallies = createTallies();
  let after = '-infinity';
  return async function readHistory() {
    // One snapshot: five counts that are read one after the other would not fit together.
    const { rows, settledBefore } = await database
      .transaction()
      .setIsolationLevel('repeatable read')
      .execute(async (transaction) => {
        const look = { after, settledBefore: await settledBeforeNow(transaction) };
        const read = async (query: (look: Look) => RawBuilder<CountedRow>) =>
          (await query(look).execute(transaction)).rows.map(tallyRowOf);
        return {
          settledBefore: look.settledBefore,
          rows: {
            accepted: await read(acceptedSince),
            ended: await read(endedSince),
            durations: await read(durationsSince),
            recoveries: await read(recoveriesSince),
            credits: await read(creditsSince),
          },
        };
      });
    after = settledBefore; // only now: a look that failed has added nothing
    return {
      accepted: tallies.accepted.add(rows.accepted),
      ended: tallies.ended.add(rows.ended),
      durations: tallies.durations.add(rows.durations),
      recoveries: tallies.recoveries.add(rows.recoveries),
      credits: tallies.credits.add(rows.credits),
    };
  };
}

function createTallies(): Readonly<Record<keyof History, SettledTally>> {
  const names = ['accepted', 'ended', 'durations', 'recoveries', 'credits'] as const;
  return Object.fromEntries(names.map((name) => [name, new SettledTally()])) as Record<keyof History, SettledTally>;
}

interface CountedRow {
  readonly group: readonly string[];
  readonly settled: boolean;
  readonly count: string;
  readonly sum: string | number | null;
}

function tallyRowOf({ group, settled, count, sum }: CountedRow) {
  return { group, isSettled: settled, count: Number(count), sum: Number(sum ?? 0) };
}

async function settledBeforeNow(database: Database): Promise<string> {
  const { rows } = await sql<{ readonly at: string }>`
    SELECT (now() - make_interval(secs => ${SETTLED_AFTER_SECONDS}))::text AS at`.execute(database);
  return rows[0]?.at ?? '-infinity';
}

function acceptedSince({ after, settledBefore }: Look) {
  return sql<CountedRow>`
    SELECT ARRAY[template] AS "group", created_at < ${settledBefore}::timestamptz AS settled, count(*), 0 AS sum
      FROM generations WHERE created_at >= ${after}::timestamptz GROUP BY 1, 2`;
}

function endedSince({ after, settledBefore }: Look) {
  return sql<CountedRow>`
    SELECT ARRAY[status, coalesce(failure_kind, ''), template, provider] AS "group",
           finished_at < ${settledBefore}::timestamptz AS settled, count(*), 0 AS sum
      FROM generations WHERE finished_at >= ${after}::timestamptz GROUP BY 1, 2`;
}

function durationsSince({ after, settledBefore }: Look) {
  // Clocks of a worker and of the database differ: nothing took less than no time.
  return sql<CountedRow>`
    SELECT ARRAY[template, phase, width_bucket(seconds, ${sql.val(DURATION_BUCKETS)}::float8[])::text] AS "group",
           finished_at < ${settledBefore}::timestamptz AS settled, count(*), sum(seconds)
      FROM (SELECT template, finished_at, phase, greatest(0, extract(epoch FROM took))::float8 AS seconds
              FROM generations, LATERAL (VALUES ('queued', started_at - created_at), ('rendering', rendered_at - started_at),
                     ('collecting', finished_at - rendered_at), ('total', finished_at - created_at)) AS phases (phase, took)
             WHERE finished_at >= ${after}::timestamptz AND status = 'COMPLETED' AND took IS NOT NULL) AS taken
     GROUP BY 1, 2`;
}

function recoveriesSince({ after, settledBefore }: Look) {
  return sql<CountedRow>`
    SELECT ARRAY[a.kind, a.strategy, coalesce(a.success, false)::text] AS "group",
           g.finished_at < ${settledBefore}::timestamptz AS settled, count(*), 0 AS sum
      FROM generations g JOIN recovery_attempts a ON a.generation_id = g.id
     WHERE g.finished_at >= ${after}::timestamptz GROUP BY 1, 2`;
}

function creditsSince({ after, settledBefore }: Look) {
  return sql<CountedRow>`
    SELECT ARRAY[kind] AS "group", created_at < ${settledBefore}::timestamptz AS settled, count(*), sum(credits)
      FROM credit_entries WHERE created_at >= ${after}::timestamptz GROUP BY 1, 2`;
}
