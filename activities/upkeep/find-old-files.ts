import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { cancellationSignal } from '@temporalio/activity';
import type { BackendUpkeep, FoundOldFiles } from '../../workflows/contracts/upkeep.js';
import { COMFYUI_FOLDERS } from '../../workflows/domain/old-files.js';
import type { ComfyUIFolder, OldFiles } from '../../workflows/domain/old-files.js';
import { heartbeatWhile } from '../heartbeat-while.js';
import { OWN_FOLDER, isOwnerName, ownersFolder } from './comfyui-folders.js';
import type { ComfyUIFolders } from './comfyui-folders.js';
import { oldFilesIn, totalOf, unlessAbsent } from './old-files-in.js';

/** Owners on one page: with their names, about 40 kB in the history. */
const PAGE = 200;

/** Folders that are not reachable from here (`null`) have nothing. */
export function createFindOldFiles(deps: { readonly folders: ComfyUIFolders | null }): BackendUpkeep['findOldFiles'] {
  /** Safe to retry: it only looks. */
  return async function findOldFiles({ after }) {
    const { folders } = deps;
    if (folders === null) return { found: [], next: null };
    return heartbeatWhile(async () => pageAfter(folders, after ?? ''));
  };
}

async function pageAfter(folders: ComfyUIFolders, after: string): Promise<FoundOldFiles> {
  const signal = cancellationSignal();
  const found: OldFiles[] = [];
  for await (const candidate of candidatesIn(folders)) {
    signal.throwIfAborted();
    const place = placeOf(candidate);
    if (place <= after) continue;
    const total = await totalOf(oldFilesOf(folders.base, candidate));
    if (total.files === 0) continue;
    found.push({ ...candidate, ...total });
    if (found.length >= PAGE) return { found, next: place };
  }
  return { found, next: null };
}

type Candidate = Omit<OldFiles, 'files' | 'bytes'>;

/** In the order of their places, so that a page can begin where another ended. */
async function* candidatesIn({ base, scope, maxAgeSeconds }: ComfyUIFolders): AsyncGenerator<Candidate> {
  for (const folder of [...COMFYUI_FOLDERS].sort()) {
    const beforeMs = Date.now() - maxAgeSeconds[folder] * 1_000;
    if (scope === 'all') yield { folder, owner: 'others', name: '', beforeMs };
    for (const name of await ownerNames(base, folder)) {
      yield { folder, owner: folder === 'input' ? 'input' : 'generation', name, beforeMs };
    }
  }
}

async function ownerNames(base: string, folder: ComfyUIFolder): Promise<readonly string[]> {
  const names = await unlessAbsent(readdir(join(base, folder, ownersFolder(folder))));
  return (names ?? []).filter((name) => isOwnerName(folder, name)).sort();
}

function placeOf({ folder, name }: Candidate): string {
  return `${folder}/${name}`;
}

/**
 * The old files of one owner. ComfyUI's folder itself may be a link, to a larger disk for example: that is how its owner
 * has set it up. Below it none is followed.
 */
export async function* oldFilesOf(base: string, candidate: Candidate): ReturnType<typeof oldFilesIn> {
  const { folder, owner, name, beforeMs } = candidate;
  const root = await unlessAbsent(realpath(join(base, folder)));
  if (root === null) return;
  if (owner === 'others') yield* oldFilesIn(root, { beforeMs, except: OWN_FOLDER });
  else if (isOwnerName(folder, name)) yield* oldFilesIn(join(root, ownersFolder(folder), name), { beforeMs });
}
