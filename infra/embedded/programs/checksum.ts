import { createHash } from 'node:crypto';
import { createReadStream, rmSync } from 'node:fs';
import { basename } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { EmbeddedError } from '../embedded-error.js';
import type { Checksums } from './known-programs.js';

/** The SHA-256 for this machine. A file without a known SHA-256 must not be fetched, because it could not be checked. */
export function checksumFor(sha256: Checksums, what: string): string {
  const platform = `${process.platform}-${process.arch}`;
  const checksum = sha256[platform];
  if (checksum !== undefined) return checksum;
  const known = Object.keys(sha256).join(', ');
  throw new EmbeddedError(`${what} has a known SHA-256 for ${known} only, and this machine is ${platform}`);
}

/** Deletes the file and throws when its SHA-256 is not the expected one. */
export async function ensureChecksum(file: string, expected: string): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  const got = hash.digest('hex');
  if (got === expected) return;
  rmSync(file, { force: true });
  throw new EmbeddedError(`${basename(file)} was deleted: its SHA-256 is ${got}, but ${expected} is expected`);
}
