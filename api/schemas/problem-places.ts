import type { z } from 'zod';
import { closestNames } from '../../workflows/domain/closest-names.js';
import type { ProblemPlace } from '../problem-error.js';

/** Longer names are cut: a pointer must not repeat a megabyte of the body. */
const MAX_POINTER_LENGTH = 300;
export const MAX_PLACES = 50;

/** What zod found, as places of the body; parse with `issueWords`, so that the messages are ours. */
export function problemPlaces(error: z.ZodError, schema?: z.ZodObject): readonly ProblemPlace[] {
  const known = schema === undefined ? [] : Object.keys(schema.shape);
  const places = error.issues.flatMap((issue): ProblemPlace[] => {
    if (issue.code !== 'unrecognized_keys') return [{ pointer: pointerOf(issue.path), message: issue.message }];
    const fields = issue.path.length === 0 ? known : [];
    return issue.keys.slice(0, MAX_PLACES).map((key) => unknownField([...issue.path, key], fields));
  });
  return places.slice(0, MAX_PLACES);
}

function unknownField(path: readonly PropertyKey[], known: readonly string[]): ProblemPlace {
  const [closest] = closestNames(String(path.at(-1)), known);
  const message = 'is not a field of this request';
  if (closest === undefined) return { pointer: pointerOf(path), message };
  return { pointer: pointerOf(path), message: `${message}; the closest is \`${closest}\``, allowed: known };
}

/** JSON pointer of a path. */
export function pointerOf(path: readonly PropertyKey[]): string {
  const parts = path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`);
  return parts.join('').slice(0, MAX_POINTER_LENGTH);
}
