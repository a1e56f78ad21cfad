import { opendir, realpath, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { cancellationSignal, log } from '@temporalio/activity';
import { crashPoint } from '../../infra/runtime/crash-point.js';
import type { BackendUpkeep } from '../../workflows/contracts/upkeep.js';
import type { OldFiles } from '../../workflows/domain/old-files.js';
import { NOTHING_REMOVED, addTallies } from '../../workflows/domain/removal-tally.js';
import type { RemovalTally } from '../../workflows/domain/removal-tally.js';
import { heartbeatWhile } from '../heartbeat-while.js';
import { ownersFolder } from './comfyui-folders.js';
import type { ComfyUIFolders } from './comfyui-folders.js';
import { oldFilesOf } from './find-old-files.js';
import { totalOf, unlessAbsent } from './old-files-in.js';

export function createRemoveOldFiles(deps: {
  readonly folders: ComfyUIFolders | null;
}): BackendUpkeep['removeOldFiles'] {
  /**
   * Safe to retry: what an attempt before has removed is not there any more. The tally is what was found less what is left,
   * so that it is true whatever became of earlier attempts.
   */
  return async function removeOldFiles({ found }) {
    const { folders } = deps;
    if (folders === null) return NOTHING_REMOVED;
    return heartbeatWhile(async () => {
      let tally = NOTHING_REMOVED;
      for (const files of found) tally = addTallies(tally, await removeFilesOf(folders.base, files));
      log.info('Removed old files of ComfyUI', { ...tally });
      return tally;
    });
  };
}

async function removeFilesOf(base: string, found: OldFiles): Promise<RemovalTally> {
  const signal = cancellationSignal();
  const errors: string[] = [];
  for await (const { path } of oldFilesOf(base, found)) {
    signal.throwIfAborted();
    const error = await whyNotRemoved(path);
    if (error !== null) errors.push(error);
    crashPoint('removeOldFiles.mid');
  }
  if (found.owner === 'generation') await removeEmptyFolders(base, found);
  const left = await totalOf(oldFilesOf(base, found));
  const removed = { files: Math.max(0, found.files - left.files), bytes: Math.max(0, found.bytes - left.bytes) };
  return addTallies(NOTHING_REMOVED, { ...removed, failed: left.files, errors });
}

/** One file that cannot be removed (another account's, open on Windows) is told and holds up no other. */
async function whyNotRemoved(path: string): Promise<string | null> {
  try {
    await unlessAbsent(unlink(path));
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Of a generation that has ended: nobody saves anything there any more. */
async function removeEmptyFolders(base: string, { folder, name }: OldFiles): Promise<void> {
  const root = await unlessAbsent(realpath(join(base, folder)));
  if (root !== null) await removeIfEmpty(join(root, ownersFolder(folder), name));
}

async function removeIfEmpty(path: string): Promise<boolean> {
  if ((await unlessAbsent(realpath(path))) !== path) return false;
  const folder = await unlessAbsent(opendir(path));
  if (folder === null) return false;
  let isEmpty = true;
  for await (const entry of folder) {
    if (!entry.isDirectory() || !(await removeIfEmpty(join(path, entry.name)))) isEmpty = false;
  }
  if (!isEmpty) return false;
  try {
    await rmdir(path);
    return true;
  } catch {
    return false; // not empty any more, or not ours to remove: an empty folder costs nothing
  }
}
