import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import { enterIntake, stopInForce } from '../../activities/database/intake.js';
import type { Database } from '../../infra/postgres/database.js';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import { ProblemError } from '../problem-error.js';
import type { QueueBoard } from '../queue/queue-board.js';
import { KeyTakenError, firstAnswerTo, keyInFlight } from './idempotency.js';
import type { IdempotentRequest } from './idempotency.js';
import { TooManyOpenError } from './open-limits.js';
import { isLockTimeout } from './postgres-error.js';

/** What a request is answered with, byte for byte what an idempotent repetition gets again. */
export interface Answer {
  readonly body: string;
  readonly isReplay: boolean;
}

export interface IntakeDeps {
  readonly database: Database;
  readonly board: QueueBoard;
}

/** Where nothing is known of renderings. */
const RETRY_AFTER_SECONDS = 30;
const MAX_RETRY_AFTER_SECONDS = 3_600;

/** Accepts in one transaction, which answers the body: all of it or nothing, and nothing while there is an emergency stop. */
export async function withinIntake(
  deps: IntakeDeps,
  ...[idempotency, accept]: [
    IdempotentRequest | null,
    (transaction: Transaction<DatabaseSchema>, now: Date) => Promise<string>,
  ]
): Promise<Answer> {
  try {
    const body = await deps.database.transaction().execute(async (transaction) => {
      await enterIntake(transaction);
      return accept(transaction, await openIntake(transaction));
    });
    return { body, isReplay: false };
  } catch (error) {
    if (error instanceof TooManyOpenError) throw await tooManyOpen(deps.board, error);
    if (isLockTimeout(error)) throw tooBusy(error);
    if (idempotency === null || !(error instanceof KeyTakenError)) throw error;
    const body = await firstAnswerTo(deps.database, idempotency);
    if (body !== null) return { body, isReplay: true };
    throw keyInFlight();
  }
}

/** The moment of acceptance; throws when the service is stopped. */
async function openIntake(transaction: Transaction<DatabaseSchema>): Promise<Date> {
  const { now, stoppedBecause } = await transaction
    .selectNoFrom([
      sql<Date>`now()`.as('now'),
      stopInForce(transaction).clearSelect().select('reason').as('stoppedBecause'),
    ])
    .executeTakeFirstOrThrow();
  if (stoppedBecause === null) return now;
  throw new ProblemError('service_stopped', `There is an emergency stop: ${stoppedBecause}.`, {
    headers: { 'Retry-After': '60' },
  });
}

async function tooManyOpen(board: QueueBoard, error: TooManyOpenError): Promise<ProblemError> {
  const { scope, message, missing } = error;
  const seconds = (await board.secondsUntilEnded(missing).catch(() => null)) ?? RETRY_AFTER_SECONDS;
  const retryAfter = Math.min(Math.max(Math.ceil(seconds), 1), MAX_RETRY_AFTER_SECONDS);
  return new ProblemError(scope === 'account' ? 'account_queue_full' : 'queue_full', `${message}.`, {
    headers: { 'Retry-After': String(retryAfter) },
  });
}

function tooBusy(cause: unknown): ProblemError {
  const headers = { 'Retry-After': '1' };
  return new ProblemError('database_unavailable', 'Other requests were in the way for too long.', { headers, cause });
}
