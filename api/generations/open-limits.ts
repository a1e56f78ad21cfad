import { sql } from 'kysely';
import type { Selectable, Transaction } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import type { AccountsTable, DatabaseSchema } from '../../infra/postgres/database-schema.js';
import { ProblemError } from '../problem-error.js';

/** What the service lets through; an account may have words of its own for the last two. */
export interface LimitConfig {
  /** Open generations of all accounts together. */
  readonly maxOpenGenerations: number;
  readonly maxOpenPerAccount: number;
  /** 1 is the best there is. */
  readonly bestPriority: number;
}

/** What one account may use. */
export interface AccountLimits {
  readonly maxOpen: number;
  readonly bestPriority: number;
  /** Its share of the GPUs while several accounts wait. */
  readonly weight: number;
}

const USUAL_PRIORITY = 3;
const USUAL_WEIGHT = 1;
/** Any number that nobody else in this database locks by. */
const LIMIT_LOCK = 8_328_003;
/** More than can accept one generation each at the same moment: each needs a connection to the database. */
const MAX_RACERS = 500;

/** An account that does not exist is limited like any other. */
export async function readAccountLimits(
  database: Database,
  ...[accountId, config]: [string, LimitConfig]
): Promise<AccountLimits> {
  const row = await database
    .selectFrom('accounts')
    .select(['best_priority', 'max_open', 'weight'])
    .where('id', '=', accountId)
    .executeTakeFirst();
  return accountLimits(row, config);
}

export function accountLimits(
  row: Pick<Selectable<AccountsTable>, 'best_priority' | 'max_open' | 'weight'> | undefined,
  config: LimitConfig,
): AccountLimits {
  return {
    maxOpen: row?.max_open ?? config.maxOpenPerAccount,
    bestPriority: row?.best_priority ?? config.bestPriority,
    weight: row?.weight ?? USUAL_WEIGHT,
  };
}

/** The priority of a request; throws `priority_not_allowed` for a better one than the account may use. */
export function allowedPriority(asked: number | null, { bestPriority }: AccountLimits): number {
  if (asked === null) return Math.max(USUAL_PRIORITY, bestPriority);
  if (asked >= bestPriority) return asked;
  throw new ProblemError('priority_not_allowed', `Priority ${asked} is asked for, and ${bestPriority} is the best.`, {
    places: [
      { pointer: '/priority', message: `may be ${bestPriority} at best`, allowed: { min: bestPriority, max: 5 } },
    ],
    remedy: `Ask for priority ${bestPriority} to 5, or leave it out.`,
  });
}

/** What is open may not grow beyond a limit; the caller says when to come back. */
export class TooManyOpenError extends Error {
  override readonly name = 'TooManyOpenError';
  readonly scope: 'account' | 'service';
  readonly open: number;
  readonly max: number;
  /** Generations that must end before the request fits. */
  readonly missing: number;

  constructor(
    scope: 'account' | 'service',
    counts: { readonly open: number; readonly max: number; readonly asked: number },
  ) {
    const { open, max, asked } = counts;
    super(`Open generations: ${open}, asked for: ${asked} more, limit: ${max}`);
    [this.scope, this.open, this.max, this.missing] = [scope, open, max, open + asked - max];
  }
}

export interface OpenCounts {
  readonly service: number;
  readonly account: number;
}

/** How many generations have not ended. */
export async function countOpen(transaction: Transaction<DatabaseSchema>, accountId: string): Promise<OpenCounts> {
  const open = transaction
    .selectFrom('generations')
    .where('finished_at', 'is', null)
    .select((eb) => eb.fn.countAll<string>().as('count'));
  const { service, account } = await transaction
    .selectNoFrom([open.as('service'), open.where('account_id', '=', accountId).as('account')])
    .executeTakeFirstOrThrow();
  return { service: Number(service), account: Number(account) };
}

export interface WantedPlaces {
  readonly accountId: string;
  readonly count: number;
  readonly maxOpenGenerations: number;
  readonly maxOpenOfAccount: number;
}

/** Throws when so many more would be too many; a look that others may overtake. */
export function refuseBeyond(open: OpenCounts, wanted: WantedPlaces, spare = 0): void {
  const { count, maxOpenGenerations, maxOpenOfAccount } = wanted;
  if (open.account + count + spare > maxOpenOfAccount)
    throw new TooManyOpenError('account', { open: open.account, max: maxOpenOfAccount, asked: count });
  if (open.service + count + spare > maxOpenGenerations)
    throw new TooManyOpenError('service', { open: open.service, max: maxOpenGenerations, asked: count });
}

/**
 * The word that counts, after the rows were inserted. Near a limit, and for a batch, nobody else accepts from here until
 * COMMIT, and everything that was accepted before is counted. Single ones far from it (by `before`, a look of a moment ago)
 * go on beside each other: so many as there can be do not reach it together. When a batch has come in between and has
 * brought the limit near, such a one is refused a little early. Only the account itself is locked later, so that this is
 * held as short as a COMMIT takes.
 */
export async function keepWithinLimits(
  transaction: Transaction<DatabaseSchema>,
  ...[wanted, before]: [WantedPlaces, OpenCounts]
): Promise<void> {
  const spare = isFarFromLimits(before, wanted) ? MAX_RACERS : 0;
  const lock = spare > 0 ? sql`pg_advisory_xact_lock_shared` : sql`pg_advisory_xact_lock`;
  await sql`SELECT set_config('lock_timeout', '8s', true), ${lock}(${LIMIT_LOCK})`.execute(transaction);
  const { service, account } = await countOpen(transaction, wanted.accountId); // those of the caller among them
  refuseBeyond({ service: service - wanted.count, account: account - wanted.count }, wanted, spare);
}

function isFarFromLimits(open: OpenCounts, { count, maxOpenGenerations, maxOpenOfAccount }: WantedPlaces): boolean {
  if (count > 1) return false;
  return open.account + 2 * MAX_RACERS < maxOpenOfAccount && open.service + 2 * MAX_RACERS < maxOpenGenerations;
}
