import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';

/** Until the end of the transaction nobody else adds a use of this file, or removes it from rows and store. */
export async function lockInput(transaction: Transaction<DatabaseSchema>, sha256: string): Promise<void> {
  await lockInputs(transaction, [sha256]);
}

/** The same for several, in the order of their hashes, so that two transactions never wait for each other. */
export async function lockInputs(transaction: Transaction<DatabaseSchema>, hashes: readonly string[]): Promise<void> {
  const sorted = [...hashes].sort();
  await sql`SELECT pg_advisory_xact_lock(hashtextextended(sha256, 0)) FROM unnest(${sorted}::text[]) AS sha256`.execute(
    transaction,
  );
}
