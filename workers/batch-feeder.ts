import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import { enqueueStarts } from '../activities/database/enqueue-starts.js';
import { stopInForce } from '../activities/database/intake.js';
import type { Database } from '../infra/postgres/database.js';
import type { DatabaseSchema } from '../infra/postgres/database-schema.js';
import type { Logger } from '../infra/runtime/logger.js';

export interface BatchFeederOptions {
  readonly database: Database;
  readonly logger: Logger;
  /** Open generations of batches that Temporal has, for each pool; several times what its GPUs hold, or they idle. */
  readonly window: number;
}

/** Short against the time in which a window is rendered. */
const LOOK_MS = 500;
/** A batch among many others in a pool has this many at least. */
const MIN_SHARE = 8;
/** Any number that nobody else in this database locks by. */
const FEED_LOCK = 8_328_002;

/**
 * Gives the relay what batches have waiting, so much at a time that Temporal stays light: a window for each pool, which its
 * batches share, so that none waits for another to end. Everything is in rows; one control worker feeds at a time.
 */
export function startBatchFeeder(options: BatchFeederOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const feeding = feedUntil(options, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await feeding;
    },
  };
}

async function feedUntil(options: BatchFeederOptions, signal: AbortSignal): Promise<void> {
  let isFailing = false;
  while (!signal.aborted) {
    try {
      await feedBatches(options);
      isFailing = false;
    } catch (error) {
      // Aloud once for each outage.
      options.logger[isFailing ? 'debug' : 'warn']({ err: error }, 'Batches could not be fed; trying again');
      isFailing = true;
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** One look; answers what it has given to the relay. */
export async function feedBatches({
  database,
  window,
}: Omit<BatchFeederOptions, 'logger'>): Promise<readonly string[]> {
  const waiting = await database.selectFrom('unfed_generations').select('batch_id').limit(1).execute();
  if (waiting.length === 0) return []; // the usual case takes no transaction
  return database.transaction().execute(async (transaction) => {
    const isAlone = sql<boolean>`pg_try_advisory_xact_lock(${FEED_LOCK})`.as('isAlone');
    const turn = await transaction.selectNoFrom(isAlone).executeTakeFirstOrThrow();
    const stop = await stopInForce(transaction).executeTakeFirst();
    if (!turn.isAlone || stop !== undefined) return [];
    const ids = await takeUnfed(transaction, window);
    if (ids.length > 0) await enqueueStarts(transaction, ids);
    return ids;
  });
}

/** Removes from those that wait, by priority and place, what there is room for. */
async function takeUnfed(transaction: Transaction<DatabaseSchema>, window: number): Promise<readonly string[]> {
  const { rows } = await sql<{ readonly id: string }>`
    WITH waiting AS (
      SELECT batch_id, pool, count(*) AS unfed FROM unfed_generations GROUP BY batch_id, pool
    ), shared AS (
      SELECT batch_id, pool, unfed,
             greatest(least(${MIN_SHARE}::int, ${window}::int), ${window}::int / count(*) OVER (PARTITION BY pool)) AS share
        FROM waiting
    ), room AS (
      SELECT batch_id, pool,
             share - (SELECT count(*) - unfed FROM generations AS open
                       WHERE open.batch_id = shared.batch_id AND open.pool = shared.pool AND finished_at IS NULL) AS room
        FROM shared
    ), chosen AS (
      SELECT next.generation_id
        FROM room CROSS JOIN LATERAL (
          SELECT generation_id FROM unfed_generations AS row
           WHERE row.batch_id = room.batch_id AND row.pool = room.pool
           ORDER BY priority, generation_id LIMIT greatest(room.room, 0)
             FOR UPDATE SKIP LOCKED) AS next
    )
    DELETE FROM unfed_generations WHERE generation_id IN (SELECT generation_id FROM chosen)
    RETURNING generation_id AS id`.execute(transaction);
  return rows.map(({ id }) => id);
}
