import { cancellationSignal, log } from '@temporalio/activity';
import { sql } from 'kysely';
import type { ExpressionBuilder, Transaction } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import { crashPoint } from '../../infra/runtime/crash-point.js';
import type { ControlUpkeep, OldUpload } from '../../workflows/contracts/upkeep.js';
import { NOTHING_REMOVED, addTallies } from '../../workflows/domain/removal-tally.js';
import type { RemovalTally } from '../../workflows/domain/removal-tally.js';
import { incomingObjectKey } from '../../workflows/domain/input-files.js';
import { lockInput } from '../database/lock-input.js';
import { heartbeatWhile } from '../heartbeat-while.js';
import type { ObjectStore } from '../storage/object-store.js';
import { INCOMING_MAX_AGE_HOURS } from './stale-objects.js';

export interface OldUploadsDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly retentionDays: number;
}

const PAGE = 200;

export function createFindOldUploads({
  database,
  retentionDays,
}: Omit<OldUploadsDeps, 'store'>): ControlUpkeep['findOldUploads'] {
  /** Safe to retry: it only looks. */
  return async function findOldUploads() {
    const rows = await database
      .selectFrom('uploads')
      .select(['id', 'sha256', 'bytes'])
      .where((uploads) => isOld(uploads, retentionDays))
      .orderBy('used_at')
      .limit(PAGE)
      .execute();
    return rows.map(({ bytes, ...row }) => ({ ...row, bytes: Number(bytes) }));
  };
}

export function createCountNeededUploads({
  database,
  retentionDays,
}: Omit<OldUploadsDeps, 'store'>): ControlUpkeep['countNeededUploads'] {
  /** Safe to retry: it only looks. */
  return async function countNeededUploads() {
    const { count } = await database
      .selectFrom('uploads')
      .select(sql<string>`count(*)`.as('count'))
      .where((uploads) => {
        const { isUnused, isNeeded } = unusedFor(uploads, retentionDays);
        return uploads.and([isUnused, isNeeded]);
      })
      .executeTakeFirstOrThrow();
    return Number(count);
  };
}

export function createRemoveOldUploads(deps: OldUploadsDeps): ControlUpkeep['removeOldUploads'] {
  /**
   * Safe to retry: every upload is looked at again under the lock of its file. The tally is what was found less what is
   * left, so that it is true whatever became of earlier attempts.
   */
  return async function removeOldUploads(uploads) {
    return heartbeatWhile(async () => {
      for (const upload of uploads) {
        cancellationSignal().throwIfAborted();
        await deps.database.transaction().execute(async (transaction) => removeOne(deps, transaction, upload));
        crashPoint('removeOldUploads.mid');
      }
      const tally = await tallyOf(deps.database, uploads);
      log.info('Removed uploads that nobody used', { ...tally });
      return tally;
    });
  };
}

/** The object goes before the COMMIT: a row that is left without one is removed by the next run, an object is not. */
async function removeOne(
  { store, retentionDays }: OldUploadsDeps,
  transaction: Transaction<DatabaseSchema>,
  { id, sha256 }: OldUpload,
): Promise<void> {
  if (sha256 !== null) await lockInput(transaction, sha256);
  const removed = await transaction
    .deleteFrom('uploads')
    .where('id', '=', id)
    .where((uploads) => isOld(uploads, retentionDays)) // it may have been used, or have arrived, since it was found
    .returning(['sha256', 'object_key'])
    .executeTakeFirst();
  if (removed === undefined) return;
  if (removed.sha256 === null || removed.object_key === null) {
    await store.remove(incomingObjectKey(id));
    return;
  }
  const others = await transaction
    .selectFrom('uploads')
    .select('id')
    .where('sha256', '=', removed.sha256)
    .limit(1)
    .execute();
  if (others.length === 0) await store.remove(removed.object_key);
}

type Uploads = ExpressionBuilder<DatabaseSchema, 'uploads'>;

/** Not used for its time and needed by no open generation; or announced, and not there a day later. */
function isOld(uploads: Uploads, days: number) {
  const { isUnused, isNeeded } = unusedFor(uploads, days);
  const isStale = uploads.and([
    uploads('sha256', 'is', null),
    uploads('created_at', '<', sql<Date>`now() - make_interval(hours => ${INCOMING_MAX_AGE_HOURS})`),
  ]);
  return uploads.or([uploads.and([isUnused, uploads.not(isNeeded)]), isStale]);
}

function unusedFor(uploads: Uploads, days: number) {
  const neededBy = uploads
    .selectFrom('generation_inputs')
    .innerJoin('generations', 'generations.id', 'generation_inputs.generation_id')
    .select('generations.id')
    .whereRef('generation_inputs.sha256', '=', 'uploads.sha256')
    .where('generations.finished_at', 'is', null);
  const isUnused = uploads.and([
    uploads('sha256', 'is not', null),
    uploads('used_at', '<', sql<Date>`now() - make_interval(days => ${days})`),
  ]);
  return { isUnused, isNeeded: uploads.exists(neededBy) };
}

/** Files, not rows: those whose last upload is gone. */
async function tallyOf(database: Database, uploads: readonly OldUpload[]): Promise<RemovalTally> {
  const planned = new Map(uploads.flatMap(({ sha256, bytes }) => (sha256 === null ? [] : [[sha256, bytes] as const])));
  if (planned.size === 0) return NOTHING_REMOVED;
  const left = await database
    .selectFrom('uploads')
    .select('sha256')
    .where('sha256', 'in', [...planned.keys()])
    .execute();
  const kept = new Set(left.map(({ sha256 }) => sha256));
  const gone = [...planned].filter(([sha256]) => !kept.has(sha256));
  const bytes = gone.reduce((sum, [, size]) => sum + size, 0);
  return addTallies(NOTHING_REMOVED, { files: gone.length, bytes });
}
