import { lstat, readdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { activityInfo, cancellationSignal, log } from '@temporalio/activity';
import type { BackendUpkeep } from '../../workflows/contracts/upkeep.js';
import { NOTHING_REMOVED, addTallies } from '../../workflows/domain/removal-tally.js';
import type { RemovalTally } from '../../workflows/domain/removal-tally.js';
import { heartbeatWhile } from '../heartbeat-while.js';
import { oldFilesIn, totalOf, unlessAbsent } from './old-files-in.js';

export interface CleanSpoolDeps {
  /** One folder in it for each generation. */
  readonly folder: string;
  readonly maxAgeSeconds: number;
  /** A generation that is known to have ended, or that nobody knows, needs nothing. */
  readonly isNeeded: (generationId: string) => Promise<boolean>;
}

/** What a worker that died was writing; nobody writes to one file for longer than the hour of a download. */
const PART = '.part';

export function createCleanSpool({ folder, maxAgeSeconds, isNeeded }: CleanSpoolDeps): BackendUpkeep['cleanSpool'] {
  /**
   * Safe to retry: it removes what is there. Its heartbeat has the tally, and the next attempt goes on from it; what an
   * attempt removed in the second before it died is not counted.
   */
  return async function cleanSpool() {
    const beforeMs = Date.now() - maxAgeSeconds * 1_000;
    let tally = (activityInfo().heartbeatDetails as RemovalTally | undefined) ?? NOTHING_REMOVED;
    await heartbeatWhile(
      async () => {
        const root = (await unlessAbsent(realpath(folder))) ?? folder;
        for (const generationId of (await unlessAbsent(readdir(root))) ?? []) {
          cancellationSignal().throwIfAborted();
          const old = { path: join(root, generationId), beforeMs };
          tally = addTallies(tally, await cleanOne(old, await isNeeded(generationId)));
        }
      },
      () => tally,
    );
    if (tally.files > 0) log.info('Removed leftovers in the spool', { ...tally });
    return tally;
  };
}

async function cleanOne(old: { path: string; beforeMs: number }, isNeeded: boolean): Promise<Partial<RemovalTally>> {
  const facts = await unlessAbsent(lstat(old.path));
  if (facts?.isDirectory() !== true) return {};
  if (isNeeded) return cleanParts(old);
  const [all, tooOld] = await Promise.all([
    totalOf(oldFilesIn(old.path, { beforeMs: Number.POSITIVE_INFINITY })),
    totalOf(oldFilesIn(old.path, old)),
  ]);
  if (tooOld.files < all.files || facts.mtimeMs >= old.beforeMs) return {};
  await rm(old.path, { recursive: true, force: true });
  return all;
}

/** Of a generation that is under way; what it needs counts as kept. */
async function cleanParts({ path, beforeMs }: { path: string; beforeMs: number }): Promise<Partial<RemovalTally>> {
  let tally = NOTHING_REMOVED;
  for await (const file of oldFilesIn(path, { beforeMs })) {
    if (!file.path.endsWith(PART)) tally = addTallies(tally, { kept: 1 });
    else {
      await rm(file.path, { force: true });
      tally = addTallies(tally, { files: 1, bytes: file.bytes });
    }
  }
  return tally;
}
