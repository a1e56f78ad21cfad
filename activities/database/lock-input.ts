import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';

/** Until the end of the transaction nobody else adds a use of this file, or removes it from rows and store. */
export async function lockInput(transaction: Transaction<DatabaseSchema>, sha256: string): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtextextended(${sha256}, 0))`.execute(transaction);
}
