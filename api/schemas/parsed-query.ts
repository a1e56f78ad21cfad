import type { z } from 'zod';
import { ProblemError } from '../problem-error.js';
import { issueWords } from '../../infra/runtime/issue-words.js';
import { problemPlaces } from './problem-places.js';

/** The query of an address; throws `invalid_query` with every parameter that is wrong. */
export function parsedQuery<Shape extends z.ZodRawShape, Strictness extends z.core.$strict | z.core.$strip>(
  schema: z.ZodObject<Shape, Strictness>,
  query: unknown,
): z.infer<z.ZodObject<Shape, Strictness>> {
  const parsed = schema.safeParse(query, { error: issueWords });
  if (parsed.success) return parsed.data;
  const places = problemPlaces(parsed.error, schema).map((place) => ({
    ...place,
    pointer: `?${place.pointer.split('/')[1] ?? ''}`,
  }));
  const detail = places.map(({ pointer, message }) => `${pointer} ${message}`).join('; ');
  throw new ProblemError('invalid_query', detail, { places });
}
