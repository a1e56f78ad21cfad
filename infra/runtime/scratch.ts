import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Files that are on their way through this process. */
export interface Scratch {
  /** Hands out a path in a folder of its own; the folder is gone afterwards. */
  use<T>(work: (path: string) => Promise<T>): Promise<T>;
}

/** Nothing takes longer to arrive; what is older was left by a process that died. */
const LEFTOVER_MS = 24 * 3_600_000;

export async function createScratch(folder: string): Promise<Scratch> {
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY })); // another process was faster
    if (Date.now() - mtimeMs > LEFTOVER_MS) await rm(path, { recursive: true, force: true });
  }
  return {
    async use(work) {
      const own = join(folder, randomUUID());
      await mkdir(own);
      try {
        return await work(join(own, 'file'));
      } finally {
        await rm(own, { recursive: true, force: true });
      }
    },
  };
}
