import type { z } from 'zod';
import { ProblemError } from '../problem-error.js';
import { issueWords } from '../../infra/runtime/issue-words.js';
import { problemPlaces } from './problem-places.js';

/** The body of a request; throws `invalid_request` with everything that is wrong with it. */
export function parsedBody<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape, z.core.$strict>,
  body: unknown,
): z.infer<z.ZodObject<Shape, z.core.$strict>> {
  const parsed = schema.safeParse(body, { error: issueWords });
  if (parsed.success) return parsed.data;
  const places = problemPlaces(parsed.error, schema);
  const detail = places.map(({ pointer, message }) => `${pointer === '' ? 'The body' : pointer} ${message}`).join('; ');
  throw new ProblemError('invalid_request', detail, { places });
}
