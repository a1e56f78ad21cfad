import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import { z } from 'zod';
import { enterIntake } from '../../activities/database/intake.js';
import { canonicalSha256 } from '../../activities/storage/canonical-json.js';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { Database } from '../../infra/postgres/database.js';
import { FAILURE_KINDS, describeFailure } from '../../workflows/domain/failure.js';
import type { GraphPolicy } from '../graphs/graph-policy.js';
import type { Language } from '../messages/messages.js';
import { ProblemError } from '../problem-error.js';
import { NO_ACCOUNT } from './prepare-generation.js';
import { KeyTakenError, answerKey, firstAnswerTo, keyInFlight, takeKey } from './idempotency.js';
import type { IdempotentRequest } from './idempotency.js';
import type { RetryGeneration } from './retry-generation.js';

export interface RetryFailedRequest {
  readonly max: number;
  readonly idempotencyKey: string | null;
  readonly language: Language;
}

/** A failed generation that was left alone, and why. */
export interface SkippedGeneration {
  readonly id: string;
  readonly reason: string;
}

interface Retried {
  /** Of the new ones. */
  readonly ids: readonly string[];
  /** At most `MAX_SKIPPED`. */
  readonly skipped: readonly SkippedGeneration[];
}

/** Accepts up to `max` failed generations once more. */
export type RetryFailed = (request: RetryFailedRequest) => Promise<Retried & { readonly isReplay: boolean }>;

export interface RetryFailedDeps {
  readonly database: Database;
  readonly retryGeneration: RetryGeneration;
  readonly graphPolicy: GraphPolicy;
}

/** The same request may succeed later. */
const RETRYABLE_KINDS = FAILURE_KINDS.filter((kind) => describeFailure(kind).isRetryableByCaller);

const MAX_SKIPPED = 100;

/** Kept with the key: which ones were chosen, and once they are accepted the ids of the new ones. */
const noteSchema = z.object({
  isAnswered: z.boolean(),
  ids: z.array(z.string()),
  skipped: z.array(z.object({ id: z.string(), reason: z.string() })).default([]), // notes of before had none
});
type Note = z.infer<typeof noteSchema>;

export function createRetryFailed(deps: RetryFailedDeps): RetryFailed {
  const { database } = deps;
  /**
   * Each failed one once: whoever calls at the same moment gets the same new generation. Who has a key writes down first
   * which ones it will be, so that a repetition goes on where the first call was stopped, with the same ones.
   */
  return async function retryFailed({ max, idempotencyKey: key, language }) {
    if (key === null) {
      const note = { ids: await chosen(deps, database, max), skipped: await passedOver(database) };
      return { ...(await retryEach(deps, note, language)), isReplay: false };
    }
    const request = { accountId: NO_ACCOUNT, key, requestSha256: canonicalSha256({ retryFailed: max }) };
    const note = (await noteOf(database, request)) ?? (await takeNote(deps, request, max));
    if (note.isAnswered) return { ...note, isReplay: true };
    const retried = await retryEach(deps, note, language);
    await answerKey(database, request, {
      noted: JSON.stringify(note),
      answer: JSON.stringify({ isAnswered: true, ...retried }),
    });
    const answered = await noteOf(database, request);
    return { ...(answered ?? retried), isReplay: false };
  };
}

async function noteOf(database: Database, request: IdempotentRequest): Promise<Note | null> {
  const body = await firstAnswerTo(database, request);
  return body === null ? null : noteSchema.parse(JSON.parse(body));
}

async function takeNote(deps: RetryFailedDeps, ...[request, max]: [IdempotentRequest, number]): Promise<Note> {
  const { database } = deps;
  const taking = database.transaction().execute(async (transaction) => {
    await enterIntake(transaction);
    const skipped = [...(await passedOver(transaction))];
    const note = { isAnswered: false, ids: [...(await chosen(deps, transaction, max))], skipped };
    await takeKey(transaction, request, { generationId: null, body: JSON.stringify(note) });
    return note;
  });
  const taken = await taking.catch((error: unknown) => {
    if (error instanceof KeyTakenError) return null;
    throw error;
  });
  const note = taken ?? (await noteOf(database, request));
  if (note === null) throw keyInFlight();
  return note;
}

/** The oldest first. */
async function chosen(
  { graphPolicy }: RetryFailedDeps,
  ...[database, max]: [Kysely<DatabaseSchema>, number]
): Promise<readonly string[]> {
  const rows = await database
    .selectFrom('generations as failed')
    .select('id')
    .where('failure_kind', 'in', RETRYABLE_KINDS)
    .where((row) => row.not(WILL_NOT_PASS))
    .$if(graphPolicy.mode === 'templates', (query) => query.where('template', '<>', 'graph'))
    .where((row) =>
      row.not(
        row.exists(
          row.selectFrom('generations as again').select('again.id').whereRef('again.retry_of', '=', 'failed.id'),
        ),
      ),
    )
    .orderBy('finished_at')
    .limit(max)
    .execute();
  return rows.map(({ id }) => id);
}

/** A ceiling of fal.ai that no waiting lifts, whatever its kind. */
const WILL_NOT_PASS = sql<boolean>`coalesce(failure #>> '{facts,isPassing}' = 'false', false)`;

/** What failed, was not retried, and will fail again; the oldest first. */
async function passedOver(database: Kysely<DatabaseSchema>): Promise<readonly SkippedGeneration[]> {
  const rows = await database
    .selectFrom('generations as failed')
    .select(['id', 'failure_kind as kind'])
    .where('failure_kind', 'is not', null)
    .where((row) => row.or([row('failure_kind', 'not in', RETRYABLE_KINDS), WILL_NOT_PASS]))
    .where((row) =>
      row.not(
        row.exists(
          row.selectFrom('generations as again').select('again.id').whereRef('again.retry_of', '=', 'failed.id'),
        ),
      ),
    )
    .orderBy('finished_at')
    .limit(MAX_SKIPPED)
    .execute();
  return rows.map(({ id, kind }) => ({ id, reason: `It failed with ${kind}, and the same would fail again` }));
}

/** A graph that is not taken any more, or a file that was removed, does not keep the others from being retried. */
const REFUSALS = ['graph_refused', 'input_gone'];

async function retryEach(
  { retryGeneration }: RetryFailedDeps,
  ...[{ ids: failed, skipped }, language]: [Retried, Language]
): Promise<Retried> {
  const ids: string[] = [];
  const refused: SkippedGeneration[] = [];
  for (const id of failed) {
    try {
      const acceptance = await retryGeneration({ id, idempotencyKey: `retry-failed/${id}`, language });
      if (acceptance !== null) ids.push(acceptance.generationId);
    } catch (error) {
      if (!(error instanceof ProblemError) || !REFUSALS.includes(error.code)) throw error;
      refused.push({ id, reason: error.message });
    }
  }
  return { ids, skipped: [...refused, ...skipped].slice(0, MAX_SKIPPED) };
}
