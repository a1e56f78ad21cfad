import { log } from '@temporalio/activity';
import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { Database } from '../infra/postgres/database.js';
import type { DatabaseSchema } from '../infra/postgres/database-schema.js';
import type { ControlActivities, RecordOutcomeInput } from '../workflows/contracts/activities.js';
import { isTerminal } from '../workflows/domain/generation-status.js';
import { appendEvent } from './database/append-event.js';
import { superseded } from './failures/superseded.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { changeClaim } from './storage/claim-record.js';
import type { ObjectStore } from './storage/object-store.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export interface RecordOutcomeDeps {
  readonly database: Database;
  readonly store: ObjectStore;
}

const NEVER_CLAIMED = { submission: 0, backendId: '' };

export function createRecordOutcome({ database, store }: RecordOutcomeDeps): ControlActivities['recordOutcome'] {
  /**
   * Safe to retry: one transaction under a row lock, which leaves an ended generation alone; after it the claim record is
   * closed, so that not even a reset renders the generation again.
   */
  return async function recordOutcome(input) {
    try {
      await database.transaction().execute(async (transaction) => record(transaction, input));
      crashPoint('recordOutcome.mid');
      await changeClaim(store, input.generationId, async (claim) =>
        claim?.ended === true ? null : { ...(claim ?? NEVER_CLAIMED), ended: true },
      );
    } catch (error) {
      throw toApplicationFailure(error, { retryUnexpected: true });
    }
  };
}

async function record(transaction: Transaction<DatabaseSchema>, input: RecordOutcomeInput): Promise<void> {
  const { generationId, submission, status, failure } = input;
  const row = await transaction
    .selectFrom('generations')
    .select(['status', 'submission'])
    .where('id', '=', generationId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  if (isTerminal(row.status)) {
    log.info('The generation has ended already', { generationId, recorded: row.status, offered: status });
    return;
  }
  // A run that has claimed nothing (it was cancelled while it waited) has no number to be fenced by.
  if (submission > 0 && row.submission > submission)
    throw superseded(`Submission ${row.submission} is under way, this is ${submission}`);
  await insertOutputs(transaction, input);
  await transaction
    .updateTable('generations')
    .set({
      status,
      submission: Math.max(submission, row.submission),
      finished_at: sql<Date>`now()`,
      failure_kind: failure?.kind ?? null,
      failure: failure === null ? null : JSON.stringify({ detail: failure.detail, facts: failure.facts }),
      // Nothing changes what was asked yet; with recoveries that do, the Workflow says what was delivered.
      ...(status === 'COMPLETED' && { delivered: sql<string>`asked` }),
    })
    .where('id', '=', generationId)
    .execute();
  await transaction
    .updateTable('recovery_attempts')
    .set({ success: status === 'COMPLETED' })
    .where('generation_id', '=', generationId)
    .execute();
  await appendEvent(transaction, generationId, { type: status.toLowerCase(), data: eventDataOf(input) });
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
    is_flat: output.isFlat,
  }));
  await transaction.insertInto('outputs').values(rows).execute();
}

function eventDataOf({ status, outputs, failure }: RecordOutcomeInput): Readonly<Record<string, unknown>> {
  return { status, outputs: outputs.length, ...(failure !== null && { kind: failure.kind, detail: failure.detail }) };
}
