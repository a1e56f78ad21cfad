import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import { crashPoint } from '../../infra/runtime/crash-point.js';
import type { CommitDeps, CommitRequest } from '../generations/commit-generation.js';
import { placeOf } from '../generations/commit-generation.js';
import { takeKey } from '../generations/idempotency.js';
import type { IdempotentRequest } from '../generations/idempotency.js';
import { holdCredits, insertGenerations, useInputs } from '../generations/insert-generations.js';
import type { NewGeneration, PlacedGeneration } from '../generations/insert-generations.js';
import { countOpen, keepWithinLimits, refuseBeyond } from '../generations/open-limits.js';
import type { AccountLimits } from '../generations/open-limits.js';
import { withinIntake } from '../generations/within-intake.js';
import type { Answer } from '../generations/within-intake.js';
import type { DescribePlace } from '../queue/queue-board.js';
import { knownNeedsOf } from '../backends/known-needs.js';
import { batchView, readCounts } from './read-batches.js';

export type BatchCommitDeps = Omit<CommitDeps, 'temporalUrlOf'>;
export type BatchCommitRequest = Omit<CommitRequest, 'language'>;

export interface NewBatch {
  readonly batchId: string;
  readonly accountId: string;
  /** In the order of their ids. */
  readonly generations: readonly NewGeneration[];
}

/** All of them or none, in few statements, however many they are. */
export async function commitBatch(
  deps: BatchCommitDeps,
  ...[batch, request]: [NewBatch, BatchCommitRequest]
): Promise<Answer> {
  const { batchId, accountId, generations } = batch;
  const describe = await lookAtLast(deps, generations);
  crashPoint('acceptBatch.before');
  const answer = await withinIntake(deps, request.idempotency, async (transaction, now) => {
    const wanted = wantedPlaces(deps, { accountId, limits: request.limits, count: generations.length });
    const before = await countOpen(transaction, accountId);
    refuseBeyond(before, wanted); // before anything is written
    const row = await transaction
      .insertInto('batches')
      .values({ id: batchId, account_id: accountId, total: generations.length })
      .returningAll()
      .executeTakeFirstOrThrow();
    const placed = generations.map((generation, index) => ({ ...generation, place: { batchId, index } }));
    await insertUnfed(transaction, placed, now);
    const endsInSeconds = await lastEnd(transaction, batchId, describe);
    const counts = (await readCounts(transaction, [batchId])).get(batchId);
    const body = JSON.stringify(batchView({ row, counts, endsInSeconds }));
    await takeKeyOf(transaction, request.idempotency, { batchId, body });
    await keepWithinLimits(transaction, wanted, before);
    await holdCredits(transaction, accountId, generations);
    return body;
  });
  if (!answer.isReplay) crashPoint('acceptBatch.mid');
  return answer;
}

/** Rows that wait to be fed. */
export async function insertUnfed(
  transaction: Transaction<DatabaseSchema>,
  ...[placed, now]: [readonly PlacedGeneration[], Date]
): Promise<void> {
  await insertGenerations(transaction, placed, now);
  await useInputs(transaction, placed);
  const ids = placed.map(({ input }) => input.generationId);
  await sql`
    INSERT INTO unfed_generations (generation_id, batch_id, pool, priority)
    SELECT id, batch_id, pool, priority FROM generations WHERE id = ANY(${ids})`.execute(transaction);
}

export function wantedPlaces(
  { openLimits }: BatchCommitDeps,
  { accountId, limits, count }: { readonly accountId: string; readonly limits: AccountLimits; readonly count: number },
) {
  const { maxOpenGenerations } = openLimits;
  return { accountId, count, maxOpenGenerations, maxOpenOfAccount: limits.maxOpen };
}

export async function takeKeyOf(
  transaction: Transaction<DatabaseSchema>,
  ...[idempotency, answer]: [IdempotentRequest | null, { readonly batchId: string; readonly body: string }]
): Promise<void> {
  if (idempotency !== null) await takeKey(transaction, idempotency, answer);
}

/** What can be said of the generation that will be rendered last. */
export async function lookAtLast(
  { board }: BatchCommitDeps,
  generations: readonly NewGeneration[],
): Promise<DescribePlace> {
  const last = generations.reduce<NewGeneration | undefined>(
    (worst, each) => (worst === undefined || each.priority >= worst.priority ? each : worst),
    undefined,
  );
  const { pool = 'default', template = '', ...input } = last?.input ?? {};
  return board.look({ pool, template, needs: knownNeedsOf(input) });
}

export async function lastEnd(
  transaction: Transaction<DatabaseSchema>,
  ...[batchId, describe]: [string, DescribePlace]
): Promise<number | null> {
  const last = await transaction
    .selectFrom('generations')
    .selectAll()
    .where('batch_id', '=', batchId)
    .where('status', '=', 'QUEUED')
    .where('provider', '=', 'comfyui')
    .orderBy('priority', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return last === undefined ? null : describe(await placeOf(transaction, last)).endsInSeconds;
}
