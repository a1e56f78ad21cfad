/** SQLSTATEs that mean "not now": connection, resources, shutdown, system; a statement or a lock that took too long. */
const SQLSTATES = [/^08/, /^53/, /^57P/, /^58/, /^57014$/, /^55P03$/];

const SOCKET_CODES = ['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'EPIPE'];

/** pg-pool says this when no connection of a full pool becomes free in time. A connection that opens slowly has another text. */
const POOL_IS_BUSY = 'timeout exceeded when trying to connect';

/** pg gives these errors no code (pg-pool/index.js, pg/lib/client.js). */
const MESSAGES = [
  POOL_IS_BUSY,
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'Query read timeout',
  'Client has encountered a connection error and is not queryable',
];

/** The one classifier of PostgreSQL's absence ([ERR3]). Errors of the object store have a class of their own. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const text = 'message' in error && typeof error.message === 'string' ? error.message : '';
  return (
    SOCKET_CODES.includes(code) ||
    SQLSTATES.some((pattern) => pattern.test(code)) ||
    MESSAGES.some((message) => text.includes(message))
  );
}

/** True when this process used all of its connections itself. */
export function isPoolBusy(error: unknown): boolean {
  return error instanceof Error && error.message === POOL_IS_BUSY;
}
