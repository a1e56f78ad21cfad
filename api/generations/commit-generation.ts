import type { Transaction } from 'kysely';
import { enqueueStarts } from '../../activities/database/enqueue-starts.js';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import { crashPoint } from '../../infra/runtime/crash-point.js';
import { knownNeedsOf } from '../backends/known-needs.js';
import type { Language } from '../messages/messages.js';
import type { DescribePlace } from '../queue/queue-board.js';
import type { CountedPlace } from '../queue/read-places.js';
import { generationView } from './generation-view.js';
import type { GenerationRow } from './generation-view.js';
import { firstAnswerTo, takeKey } from './idempotency.js';
import type { IdempotentRequest } from './idempotency.js';
import { holdCredits, insertGenerations, useInputs } from './insert-generations.js';
import type { NewGeneration } from './insert-generations.js';
import { countOpen, keepWithinLimits, refuseBeyond } from './open-limits.js';
import type { AccountLimits, LimitConfig } from './open-limits.js';
import { takePlaces } from './take-places.js';
import { withinIntake } from './within-intake.js';
import type { Answer, IntakeDeps } from './within-intake.js';

export interface CommitDeps extends IntakeDeps {
  readonly openLimits: LimitConfig;
  readonly temporalUrlOf: (generationId: string) => string | null;
}

/** What is asked beside the generation itself. */
export interface CommitRequest {
  readonly limits: AccountLimits;
  readonly idempotency: IdempotentRequest | null;
  /** Of the answer; a repetition gets the first one again, whatever it asks for. */
  readonly language: Language;
}

export interface Acceptance extends Answer {
  readonly generationId: string;
}

/** The first answer to this request, if it has been answered before. */
export async function replayOf(
  database: IntakeDeps['database'],
  request: IdempotentRequest,
): Promise<Acceptance | null> {
  const body = await firstAnswerTo(database, request);
  return body === null ? null : acceptanceOf({ body, isReplay: true });
}

/** One transaction: after COMMIT nothing that dies can lose the generation; before it, nothing has happened. */
export async function commitGeneration(
  deps: CommitDeps,
  ...[generation, request]: [NewGeneration, CommitRequest]
): Promise<Acceptance> {
  const { generationId, accountId } = generation.input;
  const { maxOpenGenerations } = deps.openLimits;
  const wanted = { accountId, count: 1, maxOpenGenerations, maxOpenOfAccount: request.limits.maxOpen };
  const describe = await lookFor(deps, generation);
  crashPoint('acceptGeneration.before');
  const answer = await withinIntake(deps, request.idempotency, async (transaction, now) => {
    const before = await countOpen(transaction, accountId);
    refuseBeyond(before, wanted); // before anything is written
    await insertGenerations(transaction, await takePlaces(transaction, [generation]), now);
    const row = await rowOf(transaction, generationId);
    const queue = describe === null ? null : describe(await placeOf(transaction, row));
    const temporalUrl = deps.temporalUrlOf(generationId);
    const view = generationView({ row, ...NOTHING_YET, queue, temporalUrl, language: request.language });
    const body = JSON.stringify(view);
    if (request.idempotency !== null) await takeKey(transaction, request.idempotency, { generationId, body });
    await useInputs(transaction, [generation]);
    await enqueueStarts(transaction, [generationId]);
    await keepWithinLimits(transaction, wanted, before);
    await holdCredits(transaction, accountId, [generation]);
    return body;
  });
  if (!answer.isReplay) crashPoint('acceptGeneration.mid');
  return acceptanceOf(answer);
}

/** `null`: it waits for no ComfyUI. */
async function lookFor({ board }: CommitDeps, { input }: NewGeneration): Promise<DescribePlace | null> {
  return input.provider === 'fal' ? null : board.look({ ...input, needs: knownNeedsOf(input) });
}

function acceptanceOf(answer: Answer): Acceptance {
  return { ...answer, generationId: /"id":"(gen_[0-9a-f]{32})"/.exec(answer.body)?.[1] ?? '' };
}

const NOTHING_YET = { outputs: [], attempts: [], progress: null, runId: null } as const;

async function rowOf(transaction: Transaction<DatabaseSchema>, id: string): Promise<GenerationRow> {
  return transaction.selectFrom('generations').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
}

/** It is the last of its priority that waits for a ComfyUI. */
export async function placeOf(transaction: Transaction<DatabaseSchema>, row: GenerationRow): Promise<CountedPlace> {
  const { pool, priority, flow, template } = row;
  const waiting = transaction
    .selectFrom('generations')
    .where('status', '=', 'QUEUED')
    .where('provider', '=', 'comfyui')
    .where('pool', '=', pool)
    .select((eb) => eb.fn.countAll<string>().as('count'));
  const { position, ofFlow } = await transaction
    .selectNoFrom([
      waiting.where('priority', '<=', priority).as('position'),
      waiting.where('priority', '=', priority).where('flow', '=', flow).as('ofFlow'),
    ])
    .executeTakeFirstOrThrow();
  return { pool, priority, flow, template, position: Number(position), aheadInFlow: Number(ofFlow) - 1 };
}
