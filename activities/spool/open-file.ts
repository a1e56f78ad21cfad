import type { Dispatcher } from 'undici';
import { ERROR_BODY_BYTES } from './write-counted.js';

/** For requests of files: nobody here unpacks anything. */
export const AS_IT_IS = { 'accept-encoding': 'identity' } as const;

/**
 * What speaks against taking the body of a 200 for the file, `null` for nothing; then the body is given up. A coding that
 * was not asked for may be a lie, or a bomb, and what it hides is not what was counted.
 */
export async function codingFault({ headers, body }: Dispatcher.ResponseData): Promise<string | null> {
  const coding = headers['content-encoding'] ?? 'identity';
  if (coding === 'identity') return null;
  await body.dump({ limit: ERROR_BODY_BYTES });
  return `is sent with Content-Encoding ${String(coding).slice(0, 40)}, which was not asked for`;
}
