import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { SpoolFigures } from '../workflows/contracts/backend-report.js';

/** Files that are on their way, at most; a spool that holds more is counted up to here. */
const MAX_FILES = 10_000;

/** How much lies in a spool and how much its disk has left; `null` when that cannot be read. */
export async function readSpoolFigures(folder: string): Promise<SpoolFigures | null> {
  try {
    const { bavail, bsize } = await statfs(folder);
    const names = (await readdir(folder, { recursive: true })).slice(0, MAX_FILES);
    const sizes = await Promise.all(names.map(async (name) => sizeOf(join(folder, name))));
    return { freeBytes: bavail * bsize, spoolBytes: sizes.reduce((sum, bytes) => sum + bytes, 0) };
  } catch {
    return null; // the gate of the GPU says what is wrong with the disk
  }
}

/** 0 of a folder, and of a file that was removed meanwhile. */
async function sizeOf(path: string): Promise<number> {
  const facts = await stat(path).catch(() => null);
  return facts?.isFile() === true ? facts.size : 0;
}
