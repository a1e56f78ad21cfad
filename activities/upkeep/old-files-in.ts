import { lstat, opendir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../storage/errors.js';

export interface OldFile {
  readonly path: string;
  readonly bytes: number;
}

export interface OldFilesWanted {
  /** Milliseconds since the epoch; a file that changed later is not old. */
  readonly beforeMs: number;
  /** Entry of the top level that is not looked into. */
  readonly except?: string;
}

/**
 * Every old regular file at or below a path, which must be the real one: what is reached through a link is somebody
 * else's, so links are neither followed nor answered. A path that is absent has nothing.
 */
export async function* oldFilesIn(path: string, wanted: OldFilesWanted): AsyncGenerator<OldFile> {
  if ((await unlessAbsent(realpath(path))) === path) yield* filesBelow(path, wanted);
}

async function* filesBelow(path: string, wanted: OldFilesWanted): AsyncGenerator<OldFile> {
  const facts = await unlessAbsent(lstat(path));
  if (facts?.isFile() === true) {
    if (facts.mtimeMs < wanted.beforeMs) yield { path, bytes: facts.size };
    return;
  }
  // Looked at again by its whole path: a folder above it may have been replaced by a link meanwhile.
  if (facts?.isDirectory() !== true || (await unlessAbsent(realpath(path))) !== path) return;
  const folder = await unless(CLOSED, opendir(path));
  if (folder === null) return;
  for await (const { name } of folder) {
    if (name !== wanted.except) yield* filesBelow(join(path, name), { beforeMs: wanted.beforeMs });
  }
}

export async function totalOf(files: AsyncIterable<OldFile>): Promise<{ files: number; bytes: number }> {
  const total = { files: 0, bytes: 0 };
  for await (const { bytes } of files) {
    total.files += 1;
    total.bytes += bytes;
  }
  return total;
}

const ABSENT: readonly string[] = ['ENOENT', 'ENOTDIR'];
/** A folder that another account keeps to itself is not ours to clean, and must not keep us from our own. */
const CLOSED: readonly string[] = [...ABSENT, 'EACCES', 'EPERM'];

/** `null` for what somebody has removed. */
export async function unlessAbsent<T>(look: Promise<T>): Promise<T | null> {
  return unless(ABSENT, look);
}

async function unless<T>(codes: readonly string[], look: Promise<T>): Promise<T | null> {
  try {
    return await look;
  } catch (error) {
    if (codes.includes(codeOf(error) ?? '')) return null;
    throw error;
  }
}
