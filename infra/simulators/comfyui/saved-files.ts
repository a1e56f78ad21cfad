import type { FileType, SaveTarget } from './file-store.js';

/** One file in `outputs` of the history. */
export interface SavedFile {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: FileType;
}

/** The names of a batch: `<prefix>_00001_.png`, counting on from what is there. */
export function savedFiles(
  target: SaveTarget,
  batch: { readonly count: number; readonly extension: string; readonly type: FileType },
): readonly SavedFile[] {
  return Array.from({ length: batch.count }, (_, index) => {
    const name = target.name.replaceAll('%batch_num%', String(index));
    const number = String(target.counter + index).padStart(5, '0');
    return { filename: `${name}_${number}_.${batch.extension}`, subfolder: target.subfolder, type: batch.type };
  });
}
