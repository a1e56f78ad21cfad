import { join } from 'node:path';
import type { ComfyUIFolder } from '../../workflows/domain/old-files.js';

/** The folders of one ComfyUI, on this machine. */
export interface ComfyUIFolders {
  /** The one that has `output`, `input` and, while ComfyUI runs, `temp`. */
  readonly base: string;
  /** `own`: nothing but what lies under `dg/` is ever touched. */
  readonly scope: 'own' | 'all';
  /** Seconds since the last change, by folder. */
  readonly maxAgeSeconds: Readonly<Record<ComfyUIFolder, number>>;
}

/** Everything of ours in a folder of ComfyUI is below this one: outputs by generation, inputs in `dg/inputs`. */
export const OWN_FOLDER = 'dg';
const INPUTS = 'inputs';

const GENERATION = /^gen_[A-Za-z0-9_-]{1,64}$/;
const INPUT = /^[0-9a-f]{64}\.[a-z0-9]{1,5}$/;

/** Where old files of ours are looked for, one level deep: `null` for a folder that has nothing of ours. */
export function ownersFolder(folder: ComfyUIFolder): string {
  return folder === 'input' ? join(OWN_FOLDER, INPUTS) : OWN_FOLDER;
}

/** Whether an entry of `ownersFolder` is one of ours: anything else there was put there by somebody. */
export function isOwnerName(folder: ComfyUIFolder, name: string): boolean {
  return (folder === 'input' ? INPUT : GENERATION).test(name);
}
