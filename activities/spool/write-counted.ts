import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { reasonOf } from '../comfyui/errors.js';
import { OutputTooLargeError } from './errors.js';
import type { WrittenFile } from './spool.js';

/** The errors of one provider for what can go wrong on the way to the disk. */
export interface DownloadErrors {
  /** The file itself is not what it may be. */
  readonly refused: (message: string) => Error;
  /** It ended in the middle. */
  readonly broken: (message: string, options: { readonly cause: unknown; readonly bytes: number }) => Error;
}

export interface Download {
  readonly body: NodeJS.ReadableStream;
  readonly path: string;
  /** For people: where it comes from. */
  readonly from: string;
  /** What `Content-Length` says, if anything. */
  readonly announced: string | string[] | undefined;
  readonly signal: AbortSignal;
  readonly errors: DownloadErrors;
  readonly maxBytes?: number;
}

/** Read of an answer that is no file, so that the connection can be used again, but not more of it. */
export const ERROR_BODY_BYTES = 64 * 1024;
const MAX_FILE_BYTES = 4 * 1024 ** 3;

/** Writes a body to disk, counted and hashed; one that is empty, too large or cut off is refused. */
export async function writeCounted(download: Download): Promise<WrittenFile> {
  const { body, path, from, announced, signal, errors, maxBytes = MAX_FILE_BYTES } = download;
  const hash = createHash('sha256');
  let bytes = 0;
  const count = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      hash.update(chunk);
      const isTooLarge = Math.max(bytes, Number(announced ?? 0)) > maxBytes;
      done(isTooLarge ? new OutputTooLargeError(from, maxBytes) : null, chunk);
    },
  });
  const arrived = () =>
    `Downloaded ${bytes}${announced === undefined ? '' : ` of ${String(announced)}`} bytes from ${from}`;
  try {
    await pipeline(body, count, createWriteStream(path), { signal });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof OutputTooLargeError || isDiskError(error)) throw error;
    throw errors.broken(`${arrived()}, then ${endOf(error)}`, { cause: error, bytes });
  }
  if (bytes === 0) throw errors.refused(`Downloaded 0 bytes from ${from}`);
  if (announced !== undefined && Number(announced) !== bytes) throw errors.refused(arrived());
  return { bytes, sha256: hash.digest('hex') };
}

function endOf(error: unknown): string {
  const isTimeout = typeof error === 'object' && error !== null && 'name' in error && error.name === 'TimeoutError';
  return isTimeout ? 'the time for it was over' : `the connection broke: ${reasonOf(error)}`;
}

/** Errors of the local disk carry the path or come from a write; those of the connection do neither. */
function isDiskError(error: unknown): boolean {
  return error instanceof Error && ('path' in error || ('syscall' in error && error.syscall === 'write'));
}
