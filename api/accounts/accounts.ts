import { sql } from 'kysely';
import type { Selectable } from 'kysely';
import { addEntry, lockBalance } from '../../activities/database/credits.js';
import type { Database } from '../../infra/postgres/database.js';
import type { CreditEntriesTable } from '../../infra/postgres/database-schema.js';
import { ProblemError } from '../problem-error.js';
import type { AccountView, CreditEntryView } from '../schemas/account-view.js';

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
  /** Once for each reference; throws `grant_mismatch` when the same one is sent with another amount. */
  grant(id: string, grant: Grant): Promise<AccountView>;
  /** Newest first. */
  entries(id: string, page: EntryPage): Promise<readonly CreditEntryView[]>;
}

export function createAccounts(database: Database): Accounts {
  return {
    async create(id) {
      await database
        .insertInto('accounts')
        .values({ id })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return read(database, id);
    },
    read: async (id) => read(database, id),
    async grant(id, grant) {
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
          await addEntry(transaction, balance, { account_id: id, kind: 'grant', generation_id: null, ...grant });
        } else if (earlier.credits !== grant.credits) {
          throw new ProblemError('grant_mismatch', `It granted ${earlier.credits} credits to account "${id}".`);
        }
      });
      return read(database, id);
    },
    async entries(id, { limit, before }) {
      await read(database, id);
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

async function read(database: Database, id: string): Promise<AccountView> {
  const row = await database
    .selectFrom('accounts')
    .select(['id', 'created_at'])
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
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined) throw notFound(id);
  return {
    id: row.id,
    balance: Number(row.balance ?? 0),
    held: Number(row.held ?? 0),
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
