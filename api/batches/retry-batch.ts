import { canonicalSha256 } from '../../activities/storage/canonical-json.js';
import type { Database } from '../../infra/postgres/database.js';
import type { GenerationInput } from '../../workflows/contracts/generation.js';
import { crashPoint } from '../../infra/runtime/crash-point.js';
import { holdCredits } from '../generations/insert-generations.js';
import type { GenerationFile, NewGeneration } from '../generations/insert-generations.js';
import { countOpen, keepWithinLimits, readAccountLimits, refuseBeyond } from '../generations/open-limits.js';
import { inputOfRetry } from '../generations/retry-generation.js';
import type { GenerationRow } from '../generations/generation-view.js';
import { takePlaces } from '../generations/take-places.js';
import { withinIntake } from '../generations/within-intake.js';
import type { Answer } from '../generations/within-intake.js';
import { ProblemError } from '../problem-error.js';
import type { BatchRetryView } from '../schemas/batch-view.js';
import { replayedAnswer } from './accept-batch.js';
import type { BatchDeps } from './accept-batch.js';
import { insertUnfed, lastEnd, lookAtLast, takeKeyOf, wantedPlaces } from './commit-batch.js';
import { batchView, readCounts } from './read-batches.js';
import type { BatchRow } from './read-batches.js';

/** `null`: there is none of that id. */
export type RetryBatch = (request: {
  readonly id: string;
  readonly idempotencyKey: string | null;
}) => Promise<Answer | null>;

type RetryDeps = Pick<BatchDeps, 'database' | 'board' | 'openLimits' | 'store' | 'graphPolicy'>;

/** Accepts the failed generations of a batch once more; each new one takes the place of the one that it repeats. */
export function createRetryBatch(deps: RetryDeps): RetryBatch {
  return async function retryBatch({ id, idempotencyKey: key }) {
    const { database } = deps;
    const batch = await database.selectFrom('batches').selectAll().where('id', '=', id).executeTakeFirst();
    if (batch === undefined) return null;
    const requestSha256 = canonicalSha256({ retryBatch: id });
    const idempotency = key === null ? null : { accountId: batch.account_id, key, requestSha256 };
    const replay = await replayedAnswer(database, idempotency);
    if (replay !== null) return replay;
    const limits = await readAccountLimits(database, batch.account_id, deps.openLimits);
    const failed = await failedOf(database, id);
    const again = await repeated(deps, failed, limits.bestPriority);
    const describe = await lookAtLast(deps, again);
    const answer = await withinIntake(deps, idempotency, async (transaction, now) => {
      // Who retries the same batch at the same moment finds the places taken.
      const placed = (await takePlaces(transaction, again)).filter(({ place }) => place !== null);
      const wanted = wantedPlaces(deps, { accountId: batch.account_id, limits, count: placed.length });
      const before = await countOpen(transaction, batch.account_id);
      refuseBeyond(before, wanted);
      if (placed.length > 0) await insertUnfed(transaction, placed, now);
      const counts = (await readCounts(transaction, [id])).get(id);
      const view: BatchRetryView = {
        retried: placed.length,
        skipped: failed.length - again.length,
        batch: batchView({ row: batch, counts, endsInSeconds: await lastEnd(transaction, id, describe) }),
      };
      const body = JSON.stringify(view);
      await takeKeyOf(transaction, idempotency, { batchId: id, body });
      await keepWithinLimits(transaction, wanted, before);
      await holdCredits(transaction, batch.account_id, placed);
      return body;
    });
    if (!answer.isReplay) crashPoint('acceptBatch.mid');
    return answer;
  };
}

async function failedOf(database: Database, batchId: BatchRow['id']): Promise<readonly GenerationRow[]> {
  return database
    .selectFrom('generations')
    .selectAll()
    .where('batch_id', '=', batchId)
    .where('batch_index', 'is not', null)
    .where('status', 'in', ['FAILED', 'TIMEOUT'])
    .orderBy('batch_index')
    .execute();
}

/** Those that can be accepted once more: their files are there, and their graphs are still taken. */
async function repeated(
  deps: RetryDeps,
  ...[failed, bestPriority]: [readonly GenerationRow[], number]
): Promise<readonly NewGeneration[]> {
  const files = await filesOf(
    deps.database,
    failed.map(({ id }) => id),
  );
  const again: NewGeneration[] = [];
  for (const row of failed) {
    const inputs = files.get(row.id) ?? [];
    const input = inputs.some(({ isThere }) => !isThere) ? null : await inputUnlessRefused(deps, row);
    if (input === null) continue;
    const { credits, asked, metadata, corrections } = row;
    again.push({
      ...{ input, inputs, credits, asked, metadata, retryOf: row.id },
      priority: Math.max(row.priority, bestPriority),
      corrections: corrections.filter(({ node }) => node === null),
    });
  }
  return again;
}

async function inputUnlessRefused(
  deps: RetryDeps,
  { id, workflow_input: earlier }: GenerationRow,
): Promise<GenerationInput | null> {
  try {
    return await inputOfRetry(deps, { id, earlier });
  } catch (error) {
    if (error instanceof ProblemError && ['graph_refused', 'graphs_disabled'].includes(error.code)) return null;
    throw error;
  }
}

type KnownFile = GenerationFile & { readonly isThere: boolean };

async function filesOf(
  database: Database,
  generationIds: readonly string[],
): Promise<ReadonlyMap<string, readonly KnownFile[]>> {
  if (generationIds.length === 0) return new Map();
  const rows = await database
    .selectFrom('generation_inputs')
    .select(['generation_id', 'sha256', 'object_key'])
    .select((uses) =>
      uses
        .exists(uses.selectFrom('uploads').select('id').whereRef('uploads.sha256', '=', 'generation_inputs.sha256'))
        .as('isThere'),
    )
    .where('generation_id', 'in', generationIds)
    .execute();
  const byGeneration = new Map<string, KnownFile[]>();
  for (const { generation_id: id, sha256, object_key: objectKey, isThere } of rows) {
    byGeneration.set(id, [...(byGeneration.get(id) ?? []), { sha256, objectKey, isThere: isThere === true }]);
  }
  return byGeneration;
}
