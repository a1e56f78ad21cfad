import { sql } from 'kysely';
import type { Transaction } from 'kysely';
import type { DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { Database } from '../../infra/postgres/database.js';
import { isTerminal } from '../../workflows/domain/generation-status.js';
import { settleAll } from './credits.js';

/** `ended`: nothing is left to cancel, now or before; `requested`: Temporal will be told; `unknown`: no such id. */
export type CancelOutcome = 'ended' | 'requested' | 'unknown';

/** What the event of the cancel says besides. */
type CancelFacts = Readonly<Record<string, unknown>>;

export type CancelGeneration = (id: string, facts?: CancelFacts) => Promise<CancelOutcome>;

export function createCancelGeneration({ database }: { readonly database: Database }): CancelGeneration {
  return async function cancelGeneration(id, facts = {}) {
    const outcomes = await cancelAll(database, [id], facts);
    return outcomes.get(id) ?? 'unknown';
  };
}

/** Cancels many in one transaction; what is not known is not answered. */
export async function cancelAll(
  database: Database,
  ...[ids, facts]: [readonly string[], CancelFacts]
): Promise<ReadonlyMap<string, CancelOutcome>> {
  return database.transaction().execute(async (transaction) => {
    await beginCancel(transaction);
    return cancelWithin(transaction, ids, facts);
  });
}

/** A relay that is starting a Workflow right now is waited for: it lets go of its row within 5 s. */
export async function beginCancel(transaction: Transaction<DatabaseSchema>): Promise<void> {
  await sql`SET LOCAL lock_timeout = '6s'`.execute(transaction);
}

/**
 * Makes cancels durable; Temporal is told by the relay, of what it may know. What it was never told ends here, at once.
 * Locks are taken in the order of feeder and relay: unfed, outbox, generation, account; each in the order of ids.
 */
export async function cancelWithin(
  transaction: Transaction<DatabaseSchema>,
  ...[ids, facts]: [readonly string[], CancelFacts]
): Promise<ReadonlyMap<string, CancelOutcome>> {
  const unfed = await withdrawUnfed(transaction, ids);
  const withdrawn = await withdrawStarts(transaction, ids);
  const rows = await transaction
    .selectFrom('generations')
    .select(['id', 'status', 'cancel_requested_at', 'account_id', 'credits'])
    .where(sql<boolean>`id = ANY(${ids})`)
    .orderBy('id')
    .forUpdate()
    .execute();
  const open = rows.filter(({ status }) => !isTerminal(status));
  const ended = open.filter(({ id }) => unfed.has(id) || withdrawn.has(id));
  const left = open.filter(({ id }) => !unfed.has(id) && !withdrawn.has(id));
  const asked = idsOf(left.filter(({ cancel_requested_at: at }) => at === null));
  await record(transaction, { ended: idsOf(ended), asked, facts });
  // Also after a withdrawn start: a relay that died, or got no answer, may have started the Workflow all the same.
  await tellTemporal(transaction, [...asked, ...idsOf(ended).filter((id) => withdrawn.has(id))]);
  await settleAll(transaction, ended, 'release');
  const requested = new Set(idsOf(left));
  return new Map(rows.map(({ id }) => [id, requested.has(id) ? 'requested' : 'ended']));
}

function idsOf(rows: readonly { readonly id: string }[]): readonly string[] {
  return rows.map(({ id }) => id);
}

async function withdrawUnfed(
  transaction: Transaction<DatabaseSchema>,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ readonly id: string }>`
    DELETE FROM unfed_generations WHERE generation_id IN (
      SELECT generation_id FROM unfed_generations WHERE generation_id = ANY(${ids}) ORDER BY generation_id FOR UPDATE
    ) RETURNING generation_id AS id`.execute(transaction);
  return new Set(idsOf(rows));
}

async function withdrawStarts(
  transaction: Transaction<DatabaseSchema>,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ readonly id: string }>`
    DELETE FROM outbox WHERE id IN (
      SELECT id FROM outbox WHERE generation_id = ANY(${ids}) AND kind = 'start' ORDER BY generation_id FOR UPDATE
    ) RETURNING generation_id AS id`.execute(transaction);
  return new Set(idsOf(rows));
}

async function record(
  transaction: Transaction<DatabaseSchema>,
  cancelled: { readonly ended: readonly string[]; readonly asked: readonly string[]; readonly facts: CancelFacts },
): Promise<void> {
  const { ended, asked, facts } = cancelled;
  await sql`
    WITH told AS (
      UPDATE generations SET
        cancel_requested_at = now(),
        event_sequence = event_sequence + 1,
        status = CASE WHEN id = ANY(${ended}) THEN 'CANCELLED' ELSE status END,
        finished_at = CASE WHEN id = ANY(${ended}) THEN now() END
       WHERE id = ANY(${[...ended, ...asked]})
      RETURNING id, event_sequence, status
    )
    INSERT INTO generation_events (generation_id, sequence, type, data)
    SELECT id, event_sequence, CASE status WHEN 'CANCELLED' THEN 'cancelled' ELSE 'cancel_requested' END,
           ${JSON.stringify(facts)}::jsonb || jsonb_build_object('status', status)
      FROM told`.execute(transaction);
}

async function tellTemporal(transaction: Transaction<DatabaseSchema>, ids: readonly string[]): Promise<void> {
  await sql`
    INSERT INTO outbox (kind, generation_id) SELECT 'cancel', unnest(${ids}::text[])
    ON CONFLICT DO NOTHING`.execute(transaction);
}
