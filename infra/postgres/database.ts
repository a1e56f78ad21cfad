import { Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';
import type { DatabaseSchema } from './database-schema.js';

export type Database = Kysely<DatabaseSchema>;

/** How long a connection may take, and how long one statement: nothing waits on PostgreSQL without a deadline. */
const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 10_000;

export interface DatabaseConnection {
  readonly database: Database;
  readonly close: () => Promise<void>;
}

/** A pool of connections; one that breaks while idle is reported and replaced, one in use fails its next statement. */
export function openDatabase(options: {
  readonly url: string;
  readonly poolSize: number;
  readonly onIdleError: (error: Error) => void;
}): DatabaseConnection {
  const pool = new Pool({
    connectionString: options.url,
    max: options.poolSize,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + 1_000, // the server's own limit first: it says which statement
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    keepAlive: true,
  });
  pool.on('error', options.onIdleError);
  // pg-pool listens only while a connection is idle. One that breaks between two statements of a transaction would
  // otherwise end the process with an unhandled 'error'; its next statement fails with the cause.
  pool.on('connect', (client) => client.on('error', () => undefined));
  const database = new Kysely<DatabaseSchema>({ dialect: new PostgresDialect({ pool }) });
  return { database, close: async () => database.destroy() };
}
