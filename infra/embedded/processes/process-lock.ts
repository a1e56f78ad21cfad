import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { processIdentityOf } from '../../runtime/process-identity.js';

const holderSchema = z.object({ pid: z.number().int(), startedAt: z.string() });

export type ProcessLock =
  { readonly held: true; readonly release: () => void } | { readonly held: false; readonly holderPid: number };

/** A lock file that a killed process cannot leave behind: its holder's id and start time are looked at. */
export function acquireProcessLock(path: string): ProcessLock {
  const own = `${path}.${process.pid}`;
  writeFileSync(own, JSON.stringify({ pid: process.pid, startedAt: processIdentityOf(process.pid)?.startedAt ?? '' }));
  try {
    for (;;) {
      if (linkedAt(own, path)) return { held: true, release: () => remove(path) };
      const holderPid = livingHolder(path);
      if (holderPid !== null) return { held: false, holderPid };
      takeAwayStale(path);
    }
  } finally {
    remove(own);
  }
}

/** Linking a finished file is atomic, and no process reads half a lock. Throws where a file system has no links. */
function linkedAt(own: string, path: string): boolean {
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

function livingHolder(path: string): number | null {
  const holder = holderOf(path);
  if (holder === null) return null;
  return processIdentityOf(holder.pid)?.startedAt === holder.startedAt ? holder.pid : null;
}

function holderOf(path: string): z.infer<typeof holderSchema> | null {
  try {
    return holderSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return null; // gone meanwhile, or not ours to understand
  }
}

/** Renamed before it is removed: if another process was faster, its fresh lock is put back. */
function takeAwayStale(path: string): void {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return; // another process took it away
  }
  if (livingHolder(aside) !== null) linkedAt(aside, path);
  remove(aside);
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // gone already
  }
}
