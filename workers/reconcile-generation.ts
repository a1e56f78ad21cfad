import { sql } from 'kysely';
import type { Selectable, Transaction } from 'kysely';
import type { Client } from '@temporalio/client';
import { writeOutcome } from '../activities/record-outcome.js';
import type { Charge } from '../activities/database/credits.js';
import { enqueueStarts } from '../activities/database/enqueue-starts.js';
import { closeClaim } from '../activities/storage/claim-record.js';
import type { LastClaim } from '../activities/storage/claim-record.js';
import { discardOutputs } from '../activities/storage/discard-outputs.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import type { Database } from '../infra/postgres/database.js';
import type { DatabaseSchema, GenerationsTable } from '../infra/postgres/database-schema.js';
import type { Logger } from '../infra/runtime/logger.js';
import { isTerminal } from '../workflows/domain/generation-status.js';
import { closedOutcome } from './closed-outcome.js';
import type { ClosedOutcome } from './closed-outcome.js';
import { latestRun } from './latest-run.js';
import type { LatestRun } from './latest-run.js';

export interface ReconcileDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly client: Client;
  readonly logger: Logger;
}

/**
 * Brings row and claim record of one generation to what Temporal says, if its latest run is closed or there is none.
 * Several control workers may do it at once: all is done under the row's lock, and the latest run is looked at again.
 */
export async function reconcileGeneration(deps: ReconcileDeps, generationId: string): Promise<void> {
  if ((await latestRun(deps.client, generationId)).state === 'open') return; // the usual case takes no lock
  await deps.database.transaction().execute(async (transaction) => {
    await sql`SET LOCAL lock_timeout = '6s'`.execute(transaction); // the relay holds rows while Temporal answers
    const row = await lockRow(transaction, generationId);
    if (row === undefined) return; // of another installation in the same namespace
    if (row.isWaitingForStart || row.isUnfed) return; // before the look at Temporal: a start that is told meanwhile is seen there
    const run = await latestRun(deps.client, generationId);
    if (run.state === 'open') return;
    if (isTerminal(row.status)) await closeClaim(deps.store, generationId, lastClaimOf(row));
    else await repair(deps, { transaction, generationId, row, run });
  });
}

async function lockRow(transaction: Transaction<DatabaseSchema>, generationId: string) {
  return transaction
    .selectFrom('generations')
    .select(['status', 'submission', 'backend_id', 'cancel_requested_at', 'account_id', 'credits'])
    .select((row) =>
      row
        .exists(
          row.selectFrom('outbox').select('id').where('generation_id', '=', generationId).where('kind', '=', 'start'),
        )
        .as('isWaitingForStart'),
    )
    .select((row) =>
      row
        .exists(row.selectFrom('unfed_generations').select('generation_id').where('generation_id', '=', generationId))
        .as('isUnfed'),
    )
    .where('id', '=', generationId)
    .forUpdate()
    .executeTakeFirst();
}

function lastClaimOf({ submission, backend_id: backendId }: OpenRow['row']): LastClaim {
  return { submission, backendId };
}

interface OpenRow {
  readonly transaction: Transaction<DatabaseSchema>;
  readonly generationId: string;
  readonly row: Pick<Selectable<GenerationsTable>, 'status' | 'submission' | 'backend_id' | 'cancel_requested_at'> &
    Charge;
  readonly run: Exclude<LatestRun, { state: 'open' }>;
}

async function repair(deps: ReconcileDeps, open: OpenRow): Promise<void> {
  const { generationId, row, run } = open;
  if (run.state === 'closed') {
    await end(deps, open, await closedOutcome(deps.client, generationId, run));
    return;
  }
  if (row.cancel_requested_at !== null) {
    const note = 'Cancelled; Temporal does not know the generation';
    await end(deps, open, { status: 'CANCELLED', outputs: [], failure: null, note });
    return;
  }
  deps.logger.warn({ generationId, was: row.status }, 'An accepted generation has no Workflow and is started');
  await enqueueStarts(open.transaction, [generationId]);
}

async function end(deps: ReconcileDeps, open: OpenRow, outcome: ClosedOutcome): Promise<void> {
  const { transaction, generationId, row, run } = open;
  const { note, ...recorded } = outcome;
  deps.logger.warn(
    { generationId, was: row.status, status: outcome.status, closedAs: run.state === 'closed' ? run.closedAs : null },
    'Recording the end of a generation whose Workflow did not',
  );
  // First: when this process dies before COMMIT, the open row leads the next round here again.
  await closeClaim(deps.store, generationId, lastClaimOf(row));
  if (outcome.status !== 'COMPLETED') await discardOutputs(deps.store, generationId);
  await writeOutcome(
    transaction,
    { generationId, submission: row.submission, ...recorded },
    {
      runId: run.state === 'closed' ? run.runId : null,
      submission: row.submission,
      charge: row,
      ...(note !== undefined && { note }),
    },
  );
}
