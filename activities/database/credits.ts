import { sql } from 'kysely';
import type { Selectable, Transaction } from 'kysely';
import type { CreditEntriesTable, DatabaseSchema, GenerationsTable } from '../../infra/postgres/database-schema.js';

type CreditEntry = Selectable<CreditEntriesTable>;

/** What a generation costs; `credits` is `null` where no account is used. */
export type Charge = Pick<Selectable<GenerationsTable>, 'account_id' | 'credits'>;

/** What an account can spend. */
export interface Balance {
  readonly credits: number;
}

/** What is set aside for one generation. */
export interface HeldCredits {
  readonly generationId: string;
  readonly credits: number;
}

/**
 * What the account can spend, and its row held until the transaction ends, so that entries come one after the other;
 * `null` when there is no such account. Always the last lock that a transaction takes; of several, in their order.
 */
export async function lockBalance(
  transaction: Transaction<DatabaseSchema>,
  accountId: string,
): Promise<Balance | null> {
  const account = await transaction
    .selectFrom('accounts')
    .select('id')
    .where('id', '=', accountId)
    .forUpdate()
    .executeTakeFirst();
  if (account === undefined) return null;
  // A statement of its own: it sees what was committed while this transaction waited for the row.
  const last = await transaction
    .selectFrom('credit_entries')
    .select('balance')
    .where('account_id', '=', accountId)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return { credits: Number(last?.balance ?? 0) };
}

/** Adds what an account is given; the caller holds the account with this balance. */
export async function addGrant(
  transaction: Transaction<DatabaseSchema>,
  ...[balance, grant]: [Balance, Pick<CreditEntry, 'account_id' | 'credits' | 'reference'>]
): Promise<void> {
  await transaction
    .insertInto('credit_entries')
    .values({ ...grant, kind: 'grant', generation_id: null, balance: balance.credits + grant.credits })
    .execute();
}

/** How an entry changes what can be spent: held credits are gone from it already, so a capture changes nothing. */
const SIGNS = { hold: -1, capture: 0, release: 1 } as const satisfies Partial<Record<CreditEntry['kind'], number>>;

/** Adds an entry for each generation that was not settled before; the caller holds the account with this balance. */
export async function addEntries(
  transaction: Transaction<DatabaseSchema>,
  ...[accountId, balance, entries]: [
    string,
    Balance,
    { readonly kind: keyof typeof SIGNS; readonly of: readonly HeldCredits[] },
  ]
): Promise<void> {
  await sql`
    INSERT INTO credit_entries (account_id, kind, credits, balance, generation_id)
    SELECT ${accountId}, ${entries.kind}, credits,
           ${balance.credits}::bigint + ${SIGNS[entries.kind]}::int * sum(credits) OVER (ORDER BY "generationId"), "generationId"
      FROM jsonb_to_recordset(${JSON.stringify(entries.of)}) AS held ("generationId" text, credits integer)
     WHERE NOT EXISTS (SELECT FROM credit_entries AS settled
                        WHERE settled.generation_id = "generationId" AND settled.kind IN ('capture', 'release'))
     ORDER BY "generationId"`.execute(transaction);
}

/** R4.5: spends what was held for a result, and gives it back for anything else; once, whoever ends the generation how often. */
export async function settleCredits(
  transaction: Transaction<DatabaseSchema>,
  ...[generationId, charge, status]: [string, Charge, string]
): Promise<void> {
  const kind = status === 'COMPLETED' ? 'capture' : 'release';
  await settleAll(transaction, [{ ...charge, id: generationId }], kind);
}

/** The same for many that end alike. */
export async function settleAll(
  transaction: Transaction<DatabaseSchema>,
  ...[generations, kind]: [readonly (Charge & { readonly id: string })[], 'capture' | 'release']
): Promise<void> {
  const byAccount = new Map<string, HeldCredits[]>();
  for (const { id: generationId, account_id: accountId, credits } of generations) {
    if (credits === null) continue;
    const held = byAccount.get(accountId) ?? [];
    held.push({ generationId, credits });
    byAccount.set(accountId, held);
  }
  for (const accountId of [...byAccount.keys()].sort()) {
    const balance = await lockBalance(transaction, accountId);
    if (balance === null) throw new Error(`Generations have credits of the account ${accountId}, which does not exist`);
    await addEntries(transaction, accountId, balance, { kind, of: byAccount.get(accountId) ?? [] });
  }
}
