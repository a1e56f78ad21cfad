import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Env } from '../../runtime/env.js';
import { acquireProcessLock } from '../processes/process-lock.js';
import { lockPathOf, programCacheOf } from './program-search.js';

const SCRATCH = /^\.([a-z]+)-/;

/** A folder for what is not finished yet, in the cache: a rename from there is atomic. The caller holds the program's lock. */
export function createScratch(env: Env, name: string): string {
  return mkdtempSync(join(programCacheOf(env), `.${name}-`));
}

/** Removes scratch folders of processes that were killed: those of a program whose lock is free. */
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
