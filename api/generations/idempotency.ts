import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { Database } from '../../infra/postgres/database.js';
import { ProblemError } from '../problem-error.js';
import { isLockTimeout } from './postgres-error.js';

/** Keys are remembered this long, by the database's clock. */
const KEY_LIFETIME = sql<Date>`now() - interval '24 hours'`;

export interface IdempotentRequest {
  readonly accountId: string;
  readonly key: string;
  /** Of the canonical body: the order of keys and white space do not make another request. */
  readonly requestSha256: string;
}

/** The first answer to this request, `null` when there is none; throws `idempotency_mismatch` for another body. */
export async function firstAnswerTo(database: Database, request: IdempotentRequest): Promise<string | null> {
  const row = await database
    .selectFrom('idempotency_keys')
    .select(['request_sha256', 'response_body'])
    .where('account_id', '=', request.accountId)
    .where('key', '=', request.key)
    .where('created_at', '>', KEY_LIFETIME)
    .executeTakeFirst();
  if (row === undefined) return null;
  if (row.request_sha256 === request.requestSha256) return row.response_body;
  throw new ProblemError('idempotency_mismatch', 'The key was first sent with a body that differs from this one.');
}

/** Another transaction committed the same key while this one waited. */
export class KeyTakenError extends Error {
  override readonly name = 'KeyTakenError';
}

/** What was accepted under a key: one generation, a batch, or several generations (`null`), which the body names. */
export type Answered = ({ readonly generationId: string | null } | { readonly batchId: string }) & {
  readonly body: string;
};

/**
 * Takes the key within the accepting transaction. A second request with the key waits here for the first transaction, until
 * `lock_timeout`, and then throws `idempotency_in_flight`. When the key is taken, it throws `KeyTakenError`, so that its
 * transaction does not commit.
 */
export async function takeKey(
  transaction: Transaction<DatabaseSchema>,
  request: IdempotentRequest,
  answer: Answered,
): Promise<void> {
  const values = {
    request_sha256: request.requestSha256,
    generation_id: 'generationId' in answer ? answer.generationId : null,
    batch_id: 'batchId' in answer ? answer.batchId : null,
    response_body: answer.body,
  };
  const taken = await transaction
    .insertInto('idempotency_keys')
    .values({ account_id: request.accountId, key: request.key, ...values })
    .onConflict((conflict) =>
      conflict
        .columns(['account_id', 'key'])
        .doUpdateSet({ ...values, created_at: sql<Date>`now()` })
        .where('idempotency_keys.created_at', '<=', KEY_LIFETIME),
    )
    .returning('key')
    .executeTakeFirst()
    .catch((error: unknown) => {
      throw isLockTimeout(error) ? keyInFlight() : error;
    });
  if (taken === undefined) throw new KeyTakenError();
}

/** Puts the answer in the place of what was noted when the key was taken; the first one to come stays. */
export async function answerKey(
  database: Database,
  ...[{ accountId, key }, { noted, answer }]: [IdempotentRequest, { readonly noted: string; readonly answer: string }]
): Promise<void> {
  await database
    .updateTable('idempotency_keys')
    .set({ response_body: answer })
    .where('account_id', '=', accountId)
    .where('key', '=', key)
    .where('response_body', '=', noted)
    .execute();
}

/** Another request holds the key, and has not said what came of it. */
export function keyInFlight(): ProblemError {
  return new ProblemError('idempotency_in_flight', 'The first request with this key has not been answered yet.', {
    headers: { 'Retry-After': '1' },
  });
}

/** The header's value, `null` without one; throws `invalid_idempotency_key`. */
export function idempotencyKeyFrom(header: string | undefined): string | null {
  if (header === undefined) return null;
  if (/^[\x20-\x7e]{1,255}$/.test(header)) return header;
  throw new ProblemError('invalid_idempotency_key', 'The header Idempotency-Key is empty, too long or not printable.');
}
