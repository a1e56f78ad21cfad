import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Env } from '../../runtime/env.js';
import { acquireProcessLock } from '../processes/process-lock.js';
import { lockPathOf, programCacheOf } from './program-search.js';

const SCRATCH = /^\.([a-z]+)-/;

/** A folder for unfinished files. It is in the cache, so a rename is atomic. The caller holds the lock of the program. */
export function createScratch(env: Env, name: string): string {
  return mkdtempSync(join(programCacheOf(env), `.${name}-`));
}

/** Removes the scratch folders of killed processes. A free lock of the program shows that no process uses its folder. */
export function removeStaleScratch(env: Env): void {
  for (const folder of scratchFoldersIn(programCacheOf(env))) {
    try {
      removeUnlessLocked(env, folder);
    } catch {
      // a child of the killed process still writes there, or the cache cannot be written; a later start removes it
    }
  }
}

function removeUnlessLocked(env: Env, folder: string): void {
  const lock = acquireProcessLock(lockPathOf(env, SCRATCH.exec(folder)?.[1] ?? ''));
  if (!lock.held) return;
  try {
    rmSync(join(programCacheOf(env), folder), { recursive: true, force: true, maxRetries: 3 });
  } finally {
    lock.release();
  }
}

function scratchFoldersIn(cache: string): readonly string[] {
  try {
    return readdirSync(cache).filter((name) => SCRATCH.test(name));
  } catch {
    return []; // there is no cache yet
  }
}
