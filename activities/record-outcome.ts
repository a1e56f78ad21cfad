import { activityInfo, log } from '@temporalio/activity';
import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { Database } from '../infra/postgres/database.js';
import type { DatabaseSchema } from '../infra/postgres/database-schema.js';
import type { ControlActivities, RecordOutcomeInput } from '../workflows/contracts/activities.js';
import { FALL_BACK } from '../workflows/domain/recoveries.js';
import { isTerminal } from '../workflows/domain/generation-status.js';
import { changeWithEvent } from './database/change-with-event.js';
import { writeResumption } from './database/resumption.js';
import { settleCredits } from './database/credits.js';
import type { Charge } from './database/credits.js';
import { alreadyEnded } from './failures/already-ended.js';
import { superseded } from './failures/superseded.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import type { Spool } from './spool/spool.js';
import { closeClaim } from './storage/claim-record.js';
import type { LastClaim } from './storage/claim-record.js';
import { discardOutputs } from './storage/discard-outputs.js';
import type { ObjectStore } from './storage/object-store.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export interface RecordOutcomeDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  /** Of this worker; what lies in another one's is removed there when it starts. */
  readonly falSpool: Pick<Spool, 'remove'>;
  /** Is this the run that Temporal has now? One that was reset is not, and its activities may still be under way. */
  readonly isLatestRun: (generationId: string, runId: string) => Promise<boolean>;
}

export function createRecordOutcome(deps: RecordOutcomeDeps): ControlActivities['recordOutcome'] {
  const { database, store } = deps;
  /**
   * Safe to retry: one transaction under a row lock, which leaves an ended generation alone; after it the claim record is
   * closed, so that not even a reset renders the generation again.
   */
  return async function recordOutcome(input) {
    try {
      const last = await database.transaction().execute(async (transaction) => record(deps, transaction, input));
      crashPoint('recordOutcome.mid');
      await closeClaim(store, input.generationId, last);
      await discardUnwanted(store, input);
      if (input.provider === 'fal') await deps.falSpool.remove(input.generationId); // a cancel may have left a file
    } catch (error) {
      throw toApplicationFailure(error, { retryUnexpected: true });
    }
  };
}

/** A result of ComfyUI is all that is there; fal.ai renders all of it again, beside parts that were stored before. */
async function discardUnwanted(
  store: ObjectStore,
  { generationId, status, provider, outputs, resumption }: RecordOutcomeInput,
): Promise<void> {
  if (status === 'COMPLETED' && provider !== 'fal') return;
  const kept = [...outputs, ...(resumption?.stored ?? [])].map(({ objectKey }) => objectKey);
  await discardOutputs(store, generationId, kept);
}

async function record(
  { isLatestRun }: RecordOutcomeDeps,
  transaction: Transaction<DatabaseSchema>,
  input: RecordOutcomeInput,
): Promise<LastClaim> {
  const { generationId, submission, status } = input;
  const runId = activityInfo().workflowExecution?.runId ?? '';
  const row = await transaction
    .selectFrom('generations')
    .select(['status', 'submission', 'backend_id', 'ended_by_run', 'account_id', 'credits'])
    .where('id', '=', generationId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const last = { submission: Math.max(row.submission, submission), backendId: row.backend_id };
  if (isTerminal(row.status)) {
    const isRepetition = row.ended_by_run === null ? row.status === status : row.ended_by_run === runId;
    if (!isRepetition) throw alreadyEnded(generationId);
    log.info('The outcome has been recorded already', { generationId, recorded: row.status, offered: status });
    return last;
  }
  // A run that has claimed nothing (it was cancelled while it waited) has no number to be fenced by; one that was reset
  // to a point before the last claim has a low number and counts all the same.
  if (submission > 0 && row.submission > submission && !(await isLatestRun(generationId, runId)))
    throw superseded(`Submission ${row.submission} is under way, this is ${submission}`);
  await writeOutcome(transaction, input, { runId, submission: row.submission, charge: row });
  return last;
}

/** Ends a generation whose row the caller's transaction holds and has found open. */
export async function writeOutcome(
  transaction: Transaction<DatabaseSchema>,
  input: RecordOutcomeInput,
  known: {
    readonly runId: string | null;
    readonly submission: number;
    readonly note?: string;
    readonly charge: Charge;
  },
): Promise<void> {
  const { generationId, submission, status, failure } = input;
  const words = failure ?? (known.note === undefined ? null : { detail: known.note, facts: {} });
  await insertOutputs(transaction, input);
  await judgeAttempts(transaction, input);
  if (input.resumption !== undefined) await writeResumption(transaction, generationId, input.resumption);
  const set = {
    status,
    submission: Math.max(submission, known.submission),
    ended_by_run: known.runId,
    finished_at: sql<Date>`now()`,
    rendered_at: input.renderedAtMs === undefined ? null : new Date(input.renderedAtMs),
    ...(input.provider !== undefined && { provider: input.provider }),
    failure_kind: failure?.kind ?? null,
    failure: words === null ? null : JSON.stringify({ detail: words.detail, facts: words.facts }),
    ...(status === 'COMPLETED' && { delivered: sql<string>`asked || ${JSON.stringify(input.changed ?? {})}::jsonb` }),
  };
  const event = { type: status.toLowerCase(), data: eventDataOf(input, words?.detail) };
  await changeWithEvent(transaction, generationId, { set, event });
  await settleCredits(transaction, generationId, known.charge, status);
}

/**
 * R5.8: an attempt has worked when its failure did not come back, at once or at the end; of a cancelled one nobody knows.
 * One after which no GPU was found, or that fal.ai did not take, has not.
 */
async function judgeAttempts(
  transaction: Transaction<DatabaseSchema>,
  { generationId, status, failure, provider }: RecordOutcomeInput,
): Promise<void> {
  const endedWith = sql`CASE WHEN ${status} = 'CANCELLED' THEN kind ELSE ${failure?.kind ?? null}::text END`;
  await sql`
    UPDATE recovery_attempts attempt
       SET success = judged.next IS DISTINCT FROM judged.kind AND judged.next IS DISTINCT FROM 'NO_CAPACITY'
                     AND (judged.strategy <> ${FALL_BACK.strategy} OR ${provider === 'fal'})
      FROM (SELECT attempt, kind, strategy, lead(kind, 1, ${endedWith}) OVER (ORDER BY attempt) AS next
              FROM recovery_attempts WHERE generation_id = ${generationId}) judged
     WHERE attempt.generation_id = ${generationId} AND attempt.attempt = judged.attempt`.execute(transaction);
}

async function insertOutputs(
  transaction: Transaction<DatabaseSchema>,
  { generationId, outputs }: RecordOutcomeInput,
): Promise<void> {
  if (outputs.length === 0) return;
  const rows = outputs.map((output) => ({
    generation_id: generationId,
    index: output.index,
    kind: output.kind,
    media_type: output.mediaType,
    object_key: output.objectKey,
    bytes: output.bytes,
    sha256: output.sha256,
    width_px: output.widthPx,
    height_px: output.heightPx,
    frames: output.frames,
    duration_seconds: output.durationSeconds,
    is_flat: output.isFlat,
  }));
  await transaction.insertInto('outputs').values(rows).execute();
}

function eventDataOf(
  { status, outputs, failure }: RecordOutcomeInput,
  detail: string | undefined,
): Readonly<Record<string, unknown>> {
  return {
    status,
    outputs: outputs.length,
    ...(failure !== null && { kind: failure.kind }),
    ...(detail !== undefined && { detail }),
  };
}
