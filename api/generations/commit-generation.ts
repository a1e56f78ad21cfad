import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import { addEntry, lockBalance } from '../../activities/database/credits.js';
import { lockInput } from '../../activities/database/lock-input.js';
import { enterIntake, stopInForce } from '../../activities/database/intake.js';
import { appendEvent } from '../../activities/database/append-event.js';
import type { Database } from '../../infra/postgres/database.js';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import { crashPoint } from '../../infra/runtime/crash-point.js';
import type { Correction } from '../../workflows/domain/correct-graph.js';
import type { GenerationInput } from '../../workflows/contracts/generation.js';
import type { FleetState } from '../backends/fleet-state.js';
import type { Language } from '../messages/messages.js';
import { ProblemError } from '../problem-error.js';
import type { GenerationView } from '../schemas/generation-view.js';
import { generationView } from './generation-view.js';
import type { GenerationRow } from './generation-view.js';
import { firstAnswerTo, keyInFlight, takeKey } from './idempotency.js';
import type { IdempotentRequest } from './idempotency.js';
import { isLockTimeout } from './postgres-error.js';

export interface CommitDeps {
  readonly database: Database;
  /** Accepted and unfinished generations beyond this are refused with `queue_full`. */
  readonly maxOpenGenerations: number;
  readonly temporalUrlOf: (generationId: string) => string | null;
}

export interface GenerationFile {
  readonly sha256: string;
  readonly objectKey: string;
}

/** A generation of which everything is decided but the moment. */
export interface NewGeneration {
  readonly input: Omit<GenerationInput, 'acceptedAtMs'>;
  /** Files that it is given, which are kept for as long as it needs them. */
  readonly inputs: readonly GenerationFile[];
  /** What it costs its account; `null`: nothing. */
  readonly credits: number | null;
  readonly priority: number;
  readonly asked: Readonly<Record<string, unknown>>;
  readonly corrections: readonly Correction[];
  readonly metadata: Readonly<Record<string, unknown>>;
  /** The generation that this one repeats. */
  readonly retryOf: string | null;
  readonly fleet: FleetState;
  readonly idempotency: IdempotentRequest | null;
  /** Of the answer; a repetition gets the first one again, whatever it asks for. */
  readonly language: Language;
}

export interface Acceptance {
  readonly generationId: string;
  /** The answer, byte for byte what an idempotent repetition gets again. */
  readonly body: string;
  readonly isReplay: boolean;
}

/** Another transaction committed the same key while this one waited. */
class KeyTakenError extends Error {
  override readonly name = 'KeyTakenError';
}

/** The first answer to this request, if it has been answered before. */
export async function replayOf(database: Database, request: IdempotentRequest): Promise<Acceptance | null> {
  const body = await firstAnswerTo(database, request);
  if (body === null) return null;
  const generationId = /"id":"(gen_[0-9a-f]{32})"/.exec(body)?.[1] ?? '';
  return { generationId, body, isReplay: true };
}

/** One transaction: after COMMIT nothing that dies can lose the generation; before it, nothing has happened. */
export async function commitGeneration(deps: CommitDeps, generation: NewGeneration): Promise<Acceptance> {
  const { input, idempotency } = generation;
  try {
    crashPoint('acceptGeneration.before');
    const body = await deps.database.transaction().execute(async (transaction) => {
      await enterIntake(transaction);
      return insertAll(transaction, deps, generation);
    });
    crashPoint('acceptGeneration.mid');
    return { generationId: input.generationId, body, isReplay: false };
  } catch (error) {
    if (idempotency === null || !(error instanceof KeyTakenError || isLockTimeout(error))) throw error;
    const replay = error instanceof KeyTakenError ? await replayOf(deps.database, idempotency) : null;
    if (replay !== null) return replay;
    throw keyInFlight();
  }
}

async function insertAll(
  transaction: Transaction<DatabaseSchema>,
  ...[deps, generation]: [CommitDeps, NewGeneration]
): Promise<string> {
  const { input, credits, priority, asked, corrections, metadata, retryOf, idempotency } = generation;
  const { generationId, accountId, template, graph } = input;
  const { open, ahead, now, stoppedBecause } = await lookAtQueue(transaction, priority);
  if (stoppedBecause !== null) {
    throw new ProblemError('service_stopped', `There is an emergency stop: ${stoppedBecause}.`, {
      headers: { 'Retry-After': '60' },
    });
  }
  if (open >= deps.maxOpenGenerations) {
    throw new ProblemError('queue_full', `${open} generations are waiting or rendering.`, {
      headers: { 'Retry-After': '30' },
    });
  }
  const workflowInput: GenerationInput = { ...input, acceptedAtMs: now.getTime() };
  const row = await transaction
    .insertInto('generations')
    .values({
      ...{
        id: generationId,
        account_id: accountId,
        template,
        graph_key: graph.key,
        priority,
        retry_of: retryOf,
        credits,
        provider: input.provider === 'fal' ? 'fal' : 'comfyui',
      },
      asked: JSON.stringify(asked),
      corrections: JSON.stringify(corrections),
      metadata: JSON.stringify(metadata),
      workflow_input: JSON.stringify(workflowInput),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  const body = JSON.stringify(firstView(deps, generation, { row, position: ahead + 1 }));
  if (idempotency !== null && !(await takeKey(transaction, idempotency, { generationId, body }))) {
    throw new KeyTakenError();
  }
  await useInputs(transaction, generationId, generation.inputs);
  await appendEvent(transaction, generationId, { type: 'accepted', data: { status: 'QUEUED' } });
  if (credits !== null) await holdCredits(transaction, { generationId, accountId, credits });
  await transaction.insertInto('outbox').values({ kind: 'start', generation_id: generationId }).execute();
  return body;
}

/** In the order of their hashes, so that two generations never wait for each other. */
async function useInputs(
  transaction: Transaction<DatabaseSchema>,
  ...[generationId, inputs]: [string, NewGeneration['inputs']]
): Promise<void> {
  const files = [...new Map(inputs.map((file) => [file.sha256, file])).values()];
  for (const { sha256, objectKey } of files.sort((left, right) => left.sha256.localeCompare(right.sha256))) {
    await lockInput(transaction, sha256);
    const used = await transaction
      .updateTable('uploads')
      .set({ used_at: sql<Date>`now()` })
      .where('sha256', '=', sha256)
      .executeTakeFirst();
    if (used.numUpdatedRows === 0n) throw new ProblemError('input_gone', `The file ${objectKey} has been removed.`);
    await transaction
      .insertInto('generation_inputs')
      .values({ generation_id: generationId, sha256, object_key: objectKey })
      .execute();
  }
}

/** Last, because it holds the account until COMMIT: the next request of the same account waits for no more than that. */
async function holdCredits(
  transaction: Transaction<DatabaseSchema>,
  { generationId, accountId, credits }: { generationId: string; accountId: string; credits: number },
): Promise<void> {
  const balance = await lockBalance(transaction, accountId);
  if (balance === null) {
    const places = [{ pointer: '/account', message: `there is no account "${accountId}"` }];
    throw new ProblemError('unknown_account', `There is no account "${accountId}".`, { places });
  }
  const missing = credits - balance.credits;
  if (missing > 0) {
    const detail = `It costs ${credits} credits, and account "${accountId}" has ${balance.credits}: ${missing} are missing.`;
    throw new ProblemError('insufficient_credits', detail);
  }
  const entry = { account_id: accountId, kind: 'hold', credits, generation_id: generationId, reference: null } as const;
  await addEntry(transaction, balance, entry);
}

function firstView(
  { temporalUrlOf }: CommitDeps,
  { fleet: { reason, busy, slots }, language }: NewGeneration,
  { row, position }: { readonly row: GenerationRow; readonly position: number },
): GenerationView {
  const queue = { position, busy, slots, ...(reason !== null && { reason }) };
  const nothingYet = { outputs: [], attempts: [], progress: null, runId: null };
  return generationView({ row, ...nothingYet, queue, temporalUrl: temporalUrlOf(row.id), language });
}

async function lookAtQueue(transaction: Transaction<DatabaseSchema>, priority: number) {
  const row = await transaction
    .selectFrom('generations')
    .select((eb) => [
      eb.fn.countAll<string>().as('open'),
      eb.fn
        .countAll<string>()
        .filterWhere((where) => where.and([where('status', '=', 'QUEUED'), where('priority', '<=', priority)]))
        .as('ahead'),
      sql<Date>`now()`.as('now'),
      stopInForce(transaction).clearSelect().select('reason').as('stopped_because'),
    ])
    .where('finished_at', 'is', null)
    .executeTakeFirstOrThrow();
  return { open: Number(row.open), ahead: Number(row.ahead), now: row.now, stoppedBecause: row.stopped_because };
}
