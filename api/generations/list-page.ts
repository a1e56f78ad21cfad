import { sql } from 'kysely';
import type { AliasedRawBuilder, RawBuilder } from 'kysely';
import { cursorFrom, cursorOf } from './list-cursor.js';

/** What a list that is read newest first selects beside its columns: `created_at` with microseconds, which a Date drops. */
export const CREATED_KEY: AliasedRawBuilder<string, 'created_key'> = sql<string>`created_at::text`.as('created_key');

/** Condition for the rows that follow a cursor of `pageOf`, newest first; `null` for all of them. */
export function followsCursor(cursor: string | null): RawBuilder<boolean> {
  if (cursor === null) return sql<boolean>`true`;
  const { createdAt, id } = cursorFrom(cursor);
  return sql<boolean>`(created_at, id) < (${createdAt}::timestamptz, ${id})`;
}

/** A page out of rows that were read with one more than `limit`, which says whether there is a next one. */
export function pageOf<Row extends { readonly created_key: string; readonly id: string }>(
  rows: readonly Row[],
  limit: number,
): { readonly page: readonly Row[]; readonly nextCursor: string | null } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { page, nextCursor: rows.length > limit && last !== undefined ? cursorOf(last.created_key, last.id) : null };
}
