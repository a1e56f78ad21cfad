import { extname } from 'node:path';
import { z } from 'zod';
import { parsedQuery } from '../schemas/parsed-query.js';

/** Invisible characters, among them those that turn the direction of a name round, and what separates folders. */
const UNFIT_FOR_NAMES = /[\p{C}/\\]/u;

/** Query of an output; what else it holds means nothing here. */
export const deliveryQuerySchema = z.object({
  redirect: z.enum(['true', 'false']).optional(),
  filename: z
    .string('must be given once')
    .min(1)
    .max(150)
    .refine((text) => !UNFIT_FOR_NAMES.test(text), 'must not have /, \\ or invisible characters')
    .optional(),
});

export interface DeliveryQuery {
  readonly mayRedirect: boolean;
  /** What the caller wants the file to be called; its ending is ours. */
  readonly filename: string | null;
}

/** Throws `invalid_query` with every parameter that is wrong. */
export function deliveryQueryFrom(query: unknown): DeliveryQuery {
  const { redirect, filename } = parsedQuery(deliveryQuerySchema, query);
  return { mayRedirect: redirect === 'true', filename: filename ?? null };
}

/** The name with the ending of the stored file: a link must not make a program of a picture. */
export function withEndingOf(filename: string, objectKey: string): string {
  const ending = extname(objectKey);
  return filename.toLowerCase().endsWith(ending) ? filename : `${filename}${ending}`;
}
