import { z } from 'zod';
import { GENERATION_STATUSES } from '../../workflows/domain/generation-status.js';
import { parsedQuery } from '../schemas/parsed-query.js';
import { wholeNumberText, wholeNumberWords } from '../schemas/whole-number.js';

const limitWords = `must be ${wholeNumberWords(1, 100)}`;
const limit = z.coerce.number(limitWords).int(limitWords).min(1, limitWords).max(100, limitWords).default(20);
const statusList = z
  .string()
  .transform((text) => text.split(','))
  .pipe(z.array(z.enum(GENERATION_STATUSES)).min(1));

const cursorText = z.string().max(500).optional();

/** Query of `GET /v1/generations`. */
export const listQuerySchema = z.strictObject({
  limit,
  cursor: cursorText,
  status: statusList.optional(),
  template: z.string().max(100).optional(),
});

export interface ListQuery {
  readonly limit: number;
  readonly cursor: string | null;
  readonly status: z.infer<typeof statusList> | null;
  readonly template: string | null;
}

/** Throws `invalid_query` with every parameter that is wrong. */
export function listQueryFrom(query: unknown): ListQuery {
  const { cursor, status, template, ...rest } = parsedQuery(listQuerySchema, query);
  return { ...rest, cursor: cursor ?? null, status: status ?? null, template: template ?? null };
}

const batchQuerySchema = z.strictObject({ limit, cursor: cursorText, status: statusList.optional() });

/** Query of the generations of a batch. */
export type BatchQuery = Omit<ListQuery, 'template'>;

export function batchQueryFrom(query: unknown): BatchQuery {
  const { cursor, status, ...rest } = parsedQuery(batchQuerySchema, query);
  return { ...rest, cursor: cursor ?? null, status: status ?? null };
}

export type PageQuery = Pick<ListQuery, 'limit' | 'cursor'>;

const pageSchema = z.strictObject({ limit, cursor: cursorText });

/** Query of a list that has nothing to choose by. */
export function pageQueryFrom(query: unknown): PageQuery {
  const { cursor, ...rest } = parsedQuery(pageSchema, query);
  return { ...rest, cursor: cursor ?? null };
}

/** All generations of each are counted. */
const MAX_BATCHES = 20;
const batchListSchema = z.strictObject({
  limit: wholeNumberText(1, MAX_BATCHES).default(MAX_BATCHES),
  cursor: cursorText,
});

/** Query of `GET /v1/batches`. */
export function batchListQueryFrom(query: unknown): PageQuery {
  const { limit: size, cursor } = parsedQuery(batchListSchema, query);
  return { limit: size, cursor: cursor ?? null };
}
