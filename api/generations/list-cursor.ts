import { z } from 'zod';
import { ProblemError } from '../problem-error.js';

const cursorSchema = z.tuple([z.string().regex(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[\d.+:-]*$/), z.string().max(64)]);

/** Where the next page begins, opaque to callers: creation time and id of the last row seen. */
export function cursorOf(createdAt: string, id: string): string {
  return Buffer.from(JSON.stringify([createdAt, id])).toString('base64url');
}

/** Throws `invalid_query` for anything that `cursorOf` did not make. */
export function cursorFrom(cursor: string): { readonly createdAt: string; readonly id: string } {
  try {
    const [createdAt, id] = cursorSchema.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')));
    return { createdAt, id };
  } catch {
    throw notACursor();
  }
}

/** Where the next page of a batch begins: the last place seen. */
export function placeCursorOf(index: number): string {
  return Buffer.from(JSON.stringify(index)).toString('base64url');
}

/** Throws `invalid_query` for anything that `placeCursorOf` did not make. */
export function placeFrom(cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw notACursor();
}

function notACursor(): ProblemError {
  return new ProblemError('invalid_query', 'The cursor is not one that this API gave out.', {
    places: [{ pointer: '?cursor', message: 'is not a cursor' }],
  });
}
