import { OutsideFolderError } from './file-store.js';
import type { FileStore, FileType, SaveTarget } from './file-store.js';
import { NodeError } from './node-runner.js';

/** Where a save node writes next; leaving the folder is a bare Exception of that node. */
export function saveTargetOf(
  files: FileStore,
  type: FileType,
  { prefix, ...size }: { readonly prefix: string; readonly widthPx: number; readonly heightPx: number },
): SaveTarget {
  try {
    return files.saveTarget(type, prefix, size);
  } catch (error) {
    if (error instanceof OutsideFolderError) throw new NodeError('Exception', error.message);
    throw error;
  }
}
