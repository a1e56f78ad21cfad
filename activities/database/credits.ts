import type { Selectable, Transaction } from 'kysely';
import type { CreditEntriesTable, DatabaseSchema, GenerationsTable } from '../../infra/postgres/database-schema.js';

type CreditEntry = Selectable<CreditEntriesTable>;

/** What a generation costs; `credits` is `null` where no account is used. */
export type Charge = Pick<Selectable<GenerationsTable>, 'account_id' | 'credits'>;

/** What an account can spend. */
export interface Balance {
  readonly credits: number;
}

/**
 * What the account can spend, and its row held until the transaction ends, so that entries come one after the other;
 * `null` when there is no such account. Always the last lock that a transaction takes.
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

/** How an entry changes what can be spent: held credits are gone from it already, so a capture changes nothing. */
const SIGNS = { grant: 1, hold: -1, capture: 0, release: 1 } as const satisfies Record<CreditEntry['kind'], number>;

/** Adds an entry; the caller holds the account with this balance. */
export async function addEntry(
  transaction: Transaction<DatabaseSchema>,
  ...[balance, entry]: [Balance, Pick<CreditEntry, 'account_id' | 'kind' | 'credits' | 'generation_id' | 'reference'>]
): Promise<Balance> {
  const credits = balance.credits + SIGNS[entry.kind] * entry.credits;
  await transaction
    .insertInto('credit_entries')
    .values({ ...entry, balance: credits })
    .execute();
  return { credits };
}

/** R4.5: spends what was held for a result, and gives it back for anything else; once, whoever ends the generation how often. */
export async function settleCredits(
  transaction: Transaction<DatabaseSchema>,
  ...[generationId, { account_id: accountId, credits }, status]: [string, Charge, string]
): Promise<void> {
  if (credits === null) return;
  const balance = await lockBalance(transaction, accountId);
  if (balance === null) throw new Error(`Generation ${generationId} has credits of an account that does not exist`);
  const settled = await transaction
    .selectFrom('credit_entries')
    .select('id')
    .where('generation_id', '=', generationId)
    .where('kind', 'in', ['capture', 'release'])
    .executeTakeFirst();
  if (settled !== undefined) return;
  const kind = status === 'COMPLETED' ? 'capture' : 'release';
  const entry = { account_id: accountId, kind, credits, generation_id: generationId, reference: null } as const;
  await addEntry(transaction, balance, entry);
}
