/** Rows of one group that came since the last look. */
export interface TallyRow {
  /** What they are grouped by, in a fixed order. */
  readonly group: readonly string[];
  /** Old enough that no transaction adds to them any more. */
  readonly isSettled: boolean;
  readonly count: number;
  readonly sum: number;
}

export interface Tally {
  readonly group: readonly string[];
  readonly count: number;
  readonly sum: number;
}

/**
 * Totals over a table that only grows, without reading all of it each time: what is settled is added up once, what is not
 * is read again at the next look.
 */
export class SettledTally {
  readonly #settled = new Map<string, Tally>();

  /** All there was until this look. */
  add(rows: readonly TallyRow[]): readonly Tally[] {
    for (const row of rows.filter(({ isSettled }) => isSettled)) addTo(this.#settled, row);
    const all = new Map(this.#settled);
    for (const row of rows.filter(({ isSettled }) => !isSettled)) addTo(all, row);
    return [...all.values()];
  }
}

function addTo(tallies: Map<string, Tally>, { group, count, sum }: TallyRow): void {
  const key = JSON.stringify(group);
  const before = tallies.get(key) ?? { count: 0, sum: 0 };
  tallies.set(key, { group, count: before.count + count, sum: before.sum + sum });
}
