import { log } from '@temporalio/activity';
import { sql } from 'kysely';
import type { RawBuilder, SqlBool, Transaction } from 'kysely';
import type { Database } from '../infra/postgres/database.js';
import type { DatabaseSchema } from '../infra/postgres/database-schema.js';
import type { ControlActivities, RecordProgressInput } from '../workflows/contracts/activities.js';
import { gpuTaskQueue } from '../workflows/contracts/task-queues.js';
import type { Correction } from '../workflows/domain/correct-graph.js';
import { TERMINAL_STATUSES, isTerminal } from '../workflows/domain/generation-status.js';
import { changeWithEvent } from './database/change-with-event.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export function createRecordProgress({
  database,
}: {
  readonly database: Database;
}): ControlActivities['recordProgress'] {
  /** Safe to retry: a write that has happened or that comes too late changes nothing. */
  return async function recordProgress(input) {
    try {
      await record(database, input);
      crashPoint('recordProgress.mid');
    } catch (error) {
      throw toApplicationFailure(error, { retryUnexpected: true });
    }
  };
}

async function record(database: Database, input: RecordProgressInput): Promise<void> {
  const { generationId, submission, record: progress } = input;
  // Of every generation, while its next step waits: one statement.
  if (progress.type === 'processing' && (await recordProcessing(database, input, progress))) return;
  await database.transaction().execute(async (transaction) => {
    const row = await transaction
      .selectFrom('generations')
      .select(['status', 'submission', 'workflow_input'])
      .where('id', '=', generationId)
      .forUpdate()
      .executeTakeFirstOrThrow();
    if (isTerminal(row.status) || row.submission > submission) {
      log.warn('Progress came too late and is not recorded', { generationId, submission, status: row.status });
      return;
    }
    if (progress.type === 'no_fallback') await recordNoFallback(transaction, generationId, progress);
    if (progress.type === 'recovering')
      await recordRecovering(transaction, input, { ...progress, pool: row.workflow_input.pool });
  });
}

type Processing = Extract<RecordProgressInput['record'], { type: 'processing' }>;
type NoFallback = Extract<RecordProgressInput['record'], { type: 'no_fallback' }>;
type Recovering = Extract<RecordProgressInput['record'], { type: 'recovering' }>;

/** False when that has been recorded already, or comes too late. */
async function recordProcessing(
  database: Database,
  { generationId, submission }: RecordProgressInput,
  { backendId, startedAtMs, provider, hasSwitched = true, corrections = [] }: Processing,
): Promise<boolean> {
  const set = {
    status: 'PROCESSING',
    backend_id: backendId,
    submission,
    ...(provider !== undefined && { provider }),
    corrections: withNodeCorrections(corrections),
    // The first rendering is when the generation started; a recovery does not start it anew.
    started_at: sql<Date>`coalesce(started_at, ${new Date(startedAtMs)})`,
  } as const;
  const when = sql<SqlBool>`
    status <> ALL(${TERMINAL_STATUSES}::text[]) AND submission <= ${submission}
    AND (status <> 'PROCESSING' OR submission < ${submission})`;
  const data = {
    ...{ status: 'PROCESSING', backendId, submission },
    ...(provider !== undefined && { provider }),
    ...(corrections.length > 0 && { corrections }),
    ...(provider !== undefined && hasSwitched && { message: 'Successfully switched to fal.ai' }),
  };
  return changeWithEvent(database, generationId, { set, when, event: { type: 'processing', data } });
}

/** Those of the parameters, which were made at the door, and those of the nodes as this submission has them. */
function withNodeCorrections(corrections: readonly Correction[]): RawBuilder<string> {
  return sql<string>`(
    SELECT coalesce(jsonb_agg(correction), '[]') FROM jsonb_array_elements(corrections) AS correction
    WHERE correction -> 'node' = 'null'
  ) || ${JSON.stringify(corrections)}::jsonb`;
}

async function recordNoFallback(
  transaction: Transaction<DatabaseSchema>,
  ...[generationId, { reason, status }]: [string, NoFallback]
): Promise<void> {
  const set = { status, fallback_obstacle: reason };
  const when = sql<SqlBool>`fallback_obstacle IS DISTINCT FROM ${reason}`; // else an earlier try has recorded it
  const event = { type: 'no_fallback', data: { status, reason } };
  await changeWithEvent(transaction, generationId, { set, when, event });
}

async function recordRecovering(
  transaction: Transaction<DatabaseSchema>,
  { generationId, submission }: RecordProgressInput,
  { recovery, checkpoint, models, pool, avoided = [] }: Recovering & { readonly pool: string },
): Promise<void> {
  const { attempt, kind, strategy, message, before, after } = recovery;
  const inserted = await transaction
    .insertInto('recovery_attempts')
    .values({
      ...{ generation_id: generationId, attempt, kind, strategy, message },
      parameters_before: before === undefined ? null : JSON.stringify(before),
      parameters_after: after === undefined ? null : JSON.stringify(after),
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('attempt')
    .executeTakeFirst();
  if (inserted === undefined) return; // an earlier try of this activity has recorded it
  if (checkpoint !== undefined) {
    await transaction
      .insertInto('checkpoints')
      .values({
        ...{ generation_id: generationId, attempt, graph_key: checkpoint.graphKey },
        progress_percent: checkpoint.percent,
        completed_nodes: JSON.stringify(checkpoint.completedNodes),
        files: JSON.stringify(checkpoint.files),
      })
      .execute();
  }
  const set = {
    ...{ status: 'RECOVERING' as const, submission, avoided: JSON.stringify(avoided) },
    ...(models !== undefined && { claim_queue: gpuTaskQueue(pool, models), claim_models: JSON.stringify(models) }),
  };
  const event = { type: 'recovering', data: { status: 'RECOVERING', ...recovery } };
  await changeWithEvent(transaction, generationId, { set, event });
}
