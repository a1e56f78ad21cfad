import { statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { ConfigError, stringFrom } from './env.js';
import type { Env } from './env.js';

/** `temp` is not asked for: ComfyUI removes it when it ends. */
const FOLDERS = ['output', 'input'];

/** `COMFYUI_DIR`: the folder of each ComfyUI in the order of its addresses, `null` where it cannot be reached from here. */
export function comfyUIDirsFrom(env: Env, targetCount: number): readonly (string | null)[] {
  const text = stringFrom(env, 'COMFYUI_DIR', '');
  if (text === '') return Array.from({ length: targetCount }, () => null);
  const dirs = text.split(',').map((dir) => dir.trim());
  if (dirs.length !== targetCount) {
    throw new ConfigError(
      `COMFYUI_DIR has ${dirs.length} folders for ${targetCount} ComfyUI: it must have one for each address, separated ` +
        'by commas and in the same order; leave the place of one that cannot be reached from here empty',
    );
  }
  return dirs.map((dir) => (dir === '' ? null : checkedDir(dir)));
}

function checkedDir(dir: string): string {
  const missing = FOLDERS.filter((name) => !isFolder(join(dir, name)));
  if (isAbsolute(dir) && missing.length === 0) return dir;
  const reason = isAbsolute(dir)
    ? `which has no folder ${missing.join(' and no folder ')}`
    : 'which is no absolute path';
  throw new ConfigError(`COMFYUI_DIR is "${dir}", ${reason}: it must be the folder with ComfyUI's output and input`);
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** `COMFYUI_CLEANUP`: `own` removes nothing but what is ours, `all` whatever is old enough. */
export function comfyUICleanupFrom(env: Env): 'own' | 'all' {
  const scope = stringFrom(env, 'COMFYUI_CLEANUP', 'own');
  if (scope === 'own' || scope === 'all') return scope;
  throw new ConfigError(`COMFYUI_CLEANUP is "${scope}", but must be own or all`);
}
