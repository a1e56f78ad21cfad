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
import { isLockTimeout } from './postgres-error.js';
import type { RetryGeneration } from './retry-generation.js';

export interface RetryFailedRequest {
  readonly max: number;
  readonly idempotencyKey: string | null;
  readonly language: Language;
}

/** Accepts up to `max` failed generations once more; answers the ids of the new ones. */
export type RetryFailed = (
  request: RetryFailedRequest,
) => Promise<{ readonly ids: readonly string[]; readonly isReplay: boolean }>;

export interface RetryFailedDeps {
  readonly database: Database;
  readonly retryGeneration: RetryGeneration;
  readonly graphPolicy: GraphPolicy;
}

/** The same request may succeed later. */
const RETRYABLE_KINDS = FAILURE_KINDS.filter((kind) => describeFailure(kind).isRetryableByCaller);

/** Kept with the key: which ones were chosen, and once they are accepted the ids of the new ones. */
const noteSchema = z.object({ isAnswered: z.boolean(), ids: z.array(z.string()) });
type Note = z.infer<typeof noteSchema>;

export function createRetryFailed(deps: RetryFailedDeps): RetryFailed {
  const { database } = deps;
  /**
   * Each failed one once: whoever calls at the same moment gets the same new generation. Who has a key writes down first
   * which ones it will be, so that a repetition goes on where the first call was stopped, with the same ones.
   */
  return async function retryFailed({ max, idempotencyKey: key, language }) {
    if (key === null)
      return { ids: await retryEach(deps, await chosen(deps, database, max), language), isReplay: false };
    const request = { accountId: NO_ACCOUNT, key, requestSha256: canonicalSha256({ retryFailed: max }) };
    const note = (await noteOf(database, request)) ?? (await takeNote(deps, request, max));
    if (note.isAnswered) return { ids: note.ids, isReplay: true };
    const ids = await retryEach(deps, note.ids, language);
    await answerKey(database, request, {
      noted: JSON.stringify(note),
      answer: JSON.stringify({ isAnswered: true, ids }),
    });
    const answered = await noteOf(database, request);
    return { ids: answered?.ids ?? ids, isReplay: false };
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
    const note = { isAnswered: false, ids: [...(await chosen(deps, transaction, max))] };
    await takeKey(transaction, request, { generationId: null, body: JSON.stringify(note) });
    return note;
  });
  const taken = await taking.catch((error: unknown) => {
    if (error instanceof KeyTakenError) return null;
    if (isLockTimeout(error)) throw keyInFlight();
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
    .where(sql<boolean>`failure #>> '{facts,isPassing}' IS DISTINCT FROM 'false'`)
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

async function retryEach(
  { retryGeneration }: RetryFailedDeps,
  ...[failed, language]: [readonly string[], Language]
): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const id of failed) {
    const request = { id, idempotencyKey: `retry-failed/${id}`, language };
    const acceptance = await retryGeneration(request).catch(unlessRefused);
    if (acceptance !== null) ids.push(acceptance.generationId);
  }
  return ids;
}

/** A graph that is not taken any more, or a file that was removed, does not keep the others from being retried. */
function unlessRefused(error: unknown): null {
  if (error instanceof ProblemError && ['graph_refused', 'input_gone'].includes(error.code)) return null;
  throw error;
}
