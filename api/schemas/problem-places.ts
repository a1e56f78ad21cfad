import type { z } from 'zod';
import type { ProblemPlace } from '../problems.js';

/** Longer names are cut: a pointer must not repeat a megabyte of the body. */
const MAX_POINTER_LENGTH = 300;
const MAX_PLACES = 50;

/** What zod found, as places of the body. */
export function problemPlaces(error: z.ZodError, schema?: z.ZodObject): readonly ProblemPlace[] {
  const known = schema === undefined ? [] : Object.keys(schema.shape);
  const places = error.issues.flatMap((issue): ProblemPlace[] => {
    if (issue.code !== 'unrecognized_keys') return [{ pointer: pointerOf(issue.path), message: messageOf(issue) }];
    return issue.keys.map((key) => ({
      pointer: pointerOf([...issue.path, key]),
      message: 'is not a field of this request',
      ...(issue.path.length === 0 && known.length > 0 && { allowed: known }),
    }));
  });
  return places.slice(0, MAX_PLACES);
}

function pointerOf(path: readonly PropertyKey[]): string {
  const parts = path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`);
  return parts.join('').slice(0, MAX_POINTER_LENGTH);
}

/** zod's own words, without the "Invalid input: " in front. */
function messageOf(issue: z.core.$ZodIssue): string {
  return issue.message.replace(/^Invalid input: /, '');
}
