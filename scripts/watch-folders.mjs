import { existsSync, readdirSync, watch } from 'node:fs';
import { basename, join } from 'node:path';

/**
 * Calls `onChange` for every change in the folders and all folders below them. On Linux, `fs.watch` with `recursive` loses
 * files that an editor replaces by a rename (Node 20), so each folder has a watcher of its own.
 */
export function watchFolders(root, folders, onChange) {
  const watchers = new Map();
  const watchOne = (path) => {
    if (watchers.has(path)) return;
    const watcher = unlessGone(() => watch(path));
    watcher?.on('change', (_, name) => {
      // An event of the folder itself: Git has removed or replaced it, and this watcher would see no file of the new one.
      if (name === basename(path)) forget(path);
      scan();
      onChange();
    });
    watcher?.on('error', () => forget(path)); // the folder was removed
    if (watcher !== null) watchers.set(path, watcher);
  };
  const forget = (path) => {
    watchers.get(path)?.close();
    watchers.delete(path);
  };
  const scan = () => {
    for (const path of watchers.keys()) if (!existsSync(path)) forget(path);
    for (const folder of folders) for (const path of foldersBelow(join(root, folder))) watchOne(path);
  };
  scan();
  return { close: () => [...watchers.keys()].forEach(forget) };
}

function foldersBelow(path) {
  const entries = unlessGone(() => readdirSync(path, { withFileTypes: true }));
  if (entries === null) return [];
  const below = entries.filter((entry) => entry.isDirectory());
  return [path, ...below.flatMap((entry) => foldersBelow(join(path, entry.name)))];
}

/** `null` when the folder is gone: it may go between a look at its parent and this one. An event of its parent follows. */
function unlessGone(look) {
  try {
    return look();
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw error;
  }
}
