import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { StopReference } from '../../workflows/contracts/emergency-stop.js';

/** Any number that nobody else in this database locks by. */
const INTAKE_LOCK = 8_328_001;

/**
 * The first statement of a transaction that accepts: while it is open no emergency stop begins, and one that has begun is
 * seen by the statements after this one. Waits for locks for 2 s at most.
 */
export async function enterIntake(transaction: Transaction<DatabaseSchema>): Promise<void> {
  await sql`SELECT set_config('lock_timeout', '2s', true), pg_advisory_xact_lock_shared(${INTAKE_LOCK})`.execute(
    transaction,
  );
}

/** Begins an emergency stop; answers with the one that is in force, which may be an earlier one. */
export async function closeIntake(database: Database, reason: string): Promise<StopReference> {
  return database.transaction().execute(async (transaction) => {
    await sql`SELECT pg_advisory_xact_lock(${INTAKE_LOCK})`.execute(transaction); // who is accepting now is waited for
    await transaction
      .insertInto('emergency_stops')
      .values({ reason })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const row = await stopInForce(transaction).executeTakeFirstOrThrow();
    return { stopId: row.id, reason: row.reason };
  });
}

/** The emergency stop that nobody has ended yet; no row when there is none. */
export function stopInForce(database: Database | Transaction<DatabaseSchema>) {
  return database.selectFrom('emergency_stops').selectAll().where('resumed_at', 'is', null);
}
