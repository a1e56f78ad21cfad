import { existsSync, readdirSync, watch } from 'node:fs';
import { join } from 'node:path';

/**
 * Calls `onChange` for every change in the folders and all folders below them. On Linux, `fs.watch` with `recursive` loses
 * files that an editor replaces by a rename (Node 20), so each folder has a watcher of its own.
 */
export function watchFolders(root, folders, onChange) {
  const watchers = new Map();
  const watchOne = (path) => {
    if (watchers.has(path)) return;
    const watcher = watch(path, () => {
      scan();
      onChange();
    });
    watcher.on('error', () => forget(path)); // the folder was removed
    watchers.set(path, watcher);
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
  if (!existsSync(path)) return [];
  const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [path, ...below.flatMap((entry) => foldersBelow(join(path, entry.name)))];
}
