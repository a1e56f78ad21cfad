import { z } from 'zod';
import { GENERATION_STATUSES } from '../../workflows/domain/generation-status.js';
import { parsedQuery } from '../schemas/parsed-query.js';
import { wholeNumberWords } from '../schemas/whole-number.js';

const limitWords = `must be ${wholeNumberWords(1, 100)}`;
const limit = z.coerce.number(limitWords).int(limitWords).min(1, limitWords).max(100, limitWords).default(20);
const statusList = z
  .string()
  .transform((text) => text.split(','))
  .pipe(z.array(z.enum(GENERATION_STATUSES)).min(1));

/** Query of `GET /v1/generations`. */
export const listQuerySchema = z.strictObject({
  limit,
  cursor: z.string().max(500).optional(),
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
