import type { Evidence, Violation } from './check-invariants.js';

interface Account {
  readonly account_id: string;
  readonly sum: string;
  readonly last: string;
}

interface Charged {
  readonly id: string;
  readonly status: string;
  readonly kinds: readonly string[] | null;
  readonly is_whole: boolean | null;
}

/** I3: what is charged was held once, and then captured for a result or released for anything else, once. */
export async function checkCredits({ database }: Evidence): Promise<readonly Violation[]> {
  const { rows } = await database.query<Charged>(
    `SELECT id, status,
            (SELECT array_agg(kind ORDER BY credit_entries.id) FROM credit_entries WHERE generation_id = generations.id) AS kinds,
            (SELECT bool_and(credit_entries.credits = generations.credits AND credit_entries.account_id = generations.account_id)
               FROM credit_entries WHERE generation_id = generations.id) AS is_whole
       FROM generations WHERE credits IS NOT NULL`,
  );
  const { rows: accounts } = await database.query<Account>(
    `SELECT account_id,
            sum(CASE kind WHEN 'grant' THEN credits WHEN 'hold' THEN -credits WHEN 'release' THEN credits ELSE 0 END) AS sum,
            (SELECT balance FROM credit_entries AS l WHERE l.account_id = e.account_id ORDER BY id DESC LIMIT 1) AS last
       FROM credit_entries AS e GROUP BY account_id`,
  );
  return [...rows.flatMap(violationOf), ...accounts.flatMap(imbalanceOf)];
}

function violationOf({ id, status, kinds, is_whole: isWhole }: Charged): readonly Violation[] {
  const isOpen = !['COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED'].includes(status);
  const expected = isOpen ? 'hold' : status === 'COMPLETED' ? 'hold,capture' : 'hold,release';
  const found = (kinds ?? []).join(',');
  if (found !== expected) return [`I3 ${id} is ${status} and has the entries "${found}" instead of "${expected}"`];
  return isWhole === true ? [] : [`I3 ${id} has an entry of another amount or account`];
}

function imbalanceOf({ account_id: id, sum, last }: Account): readonly Violation[] {
  return sum === last ? [] : [`I3 account ${id} has ${last} by its last entry and ${sum} by the sum of all`];
}
