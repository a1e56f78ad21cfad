import { sql } from 'kysely';
import type { Selectable } from 'kysely';
import { addGrant, lockBalance } from '../../activities/database/credits.js';
import type { Database } from '../../infra/postgres/database.js';
import type { AccountsTable, CreditEntriesTable } from '../../infra/postgres/database-schema.js';
import { ProblemError } from '../problem-error.js';
import { CREATED_KEY, followsCursor, pageOf } from '../generations/list-page.js';
import type { PageQuery } from '../generations/list-query.js';
import { accountLimits } from '../generations/open-limits.js';
import type { LimitConfig } from '../generations/open-limits.js';
import type { AccountPage, AccountView, CreditEntryView, LimitsRequest } from '../schemas/account-view.js';

export interface Grant {
  readonly credits: number;
  /** The caller's own name of it, for example of a payment. */
  readonly reference: string;
}

export interface EntryPage {
  readonly limit: number;
  /** Only entries before the one of this number. */
  readonly before: number | null;
}

/** Accounts and what they can spend. What does not exist throws `account_not_found`. */
export interface Accounts {
  /** One that exists stays as it is. */
  create(id: string): Promise<AccountView>;
  read(id: string): Promise<AccountView>;
  /** Newest first. */
  list(query: PageQuery): Promise<AccountPage>;
  /** Once for each reference; throws `grant_mismatch` when the same one is sent with another amount. */
  grant(id: string, grant: Grant): Promise<AccountView>;
  /** What the account may use from now on; `null`: as the service is configured. */
  setLimits(id: string, limits: LimitsRequest): Promise<AccountView>;
  /** Newest first. */
  entries(id: string, page: EntryPage): Promise<readonly CreditEntryView[]>;
}

export function createAccounts(database: Database, defaults: LimitConfig): Accounts {
  const read = async (id: string): Promise<AccountView> => readAccount(database, id, defaults);
  return {
    async create(id) {
      await database
        .insertInto('accounts')
        .values({ id })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return read(id);
    },
    read,
    list: async (query) => listAccounts(database, query, defaults),
    async grant(id, grant) {
      await grantOnce(database, id, grant);
      return read(id);
    },
    async setLimits(id, { bestPriority, maxOpen, weight }) {
      await database
        .updateTable('accounts')
        .set({
          id, // with nothing to change the statement would be empty
          ...(bestPriority !== undefined && { best_priority: bestPriority }),
          ...(maxOpen !== undefined && { max_open: maxOpen }),
          ...(weight !== undefined && { weight }),
        })
        .where('id', '=', id)
        .execute();
      return read(id);
    },
    async entries(id, { limit, before }) {
      await read(id);
      const rows = await database
        .selectFrom('credit_entries')
        .selectAll()
        .where('account_id', '=', id)
        .$if(before !== null, (query) => query.where('id', '<', String(before)))
        .orderBy('id', 'desc')
        .limit(limit)
        .execute();
      return rows.map(entryView);
    },
  };
}

async function grantOnce(database: Database, ...[id, grant]: [string, Grant]): Promise<void> {
  await database.transaction().execute(async (transaction) => {
    const balance = await lockBalance(transaction, id);
    if (balance === null) throw notFound(id);
    const earlier = await transaction
      .selectFrom('credit_entries')
      .select('credits')
      .where('account_id', '=', id)
      .where('kind', '=', 'grant')
      .where('reference', '=', grant.reference)
      .executeTakeFirst();
    if (earlier === undefined) {
      await addGrant(transaction, balance, { account_id: id, ...grant });
    } else if (earlier.credits !== grant.credits) {
      throw new ProblemError('grant_mismatch', `The amount that it granted to account "${id}" is ${earlier.credits}.`);
    }
  });
}

async function readAccount(database: Database, ...[id, defaults]: [string, LimitConfig]): Promise<AccountView> {
  const row = await selectAccounts(database).where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw notFound(id);
  return accountView(row, defaults);
}

async function listAccounts(
  database: Database,
  ...[{ limit, cursor }, defaults]: [PageQuery, LimitConfig]
): Promise<AccountPage> {
  const rows = await selectAccounts(database)
    .where(followsCursor(cursor))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute();
  const { page, nextCursor } = pageOf(rows, limit);
  return { accounts: page.map((row) => accountView(row, defaults)), nextCursor };
}

function selectAccounts(database: Database) {
  return database
    .selectFrom('accounts')
    .selectAll()
    .select(CREATED_KEY)
    .select((account) =>
      account
        .selectFrom('credit_entries')
        .select('balance')
        .whereRef('account_id', '=', 'accounts.id')
        .orderBy('id', 'desc')
        .limit(1)
        .as('balance'),
    )
    .select((account) =>
      account
        .selectFrom('generations')
        .select(sql<string>`coalesce(sum(credits), 0)`.as('held'))
        .whereRef('account_id', '=', 'accounts.id')
        .where('finished_at', 'is', null)
        .as('held'),
    )
    .select((account) =>
      account
        .selectFrom('generations')
        .select(sql<string>`count(*)`.as('open'))
        .whereRef('account_id', '=', 'accounts.id')
        .where('finished_at', 'is', null)
        .as('open'),
    );
}

type AccountRow = Selectable<AccountsTable> & Readonly<Record<'balance' | 'held' | 'open', string | null>>;

function accountView(row: AccountRow, defaults: LimitConfig): AccountView {
  const { bestPriority, maxOpen, weight } = accountLimits(row, defaults);
  return {
    id: row.id,
    balance: Number(row.balance ?? 0),
    held: Number(row.held ?? 0),
    open: Number(row.open ?? 0),
    limits: { bestPriority, maxOpen, weight },
    createdAt: row.created_at.toISOString(),
  };
}

function entryView(row: Selectable<CreditEntriesTable>): CreditEntryView {
  const { id, kind, credits, balance, reference } = row;
  return {
    ...{ entry: Number(id), kind, credits, balance: Number(balance), reference },
    generationId: row.generation_id,
    createdAt: row.created_at.toISOString(),
  };
}

function notFound(id: string): ProblemError {
  return new ProblemError('account_not_found', `There is no account "${id}".`);
}
