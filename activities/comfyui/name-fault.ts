import type { OutputReference } from '../../workflows/contracts/activities.js';

/** What the file systems that ComfyUI runs on take for one name. */
const MAX_NAME_BYTES = 255;
const MAX_SHOWN_CHARS = 80;

/**
 * Why a file that a finished prompt names is not asked for; `null`: it may be. ComfyUI serves nothing outside its folders
 * (server.py, view_image), so such a name comes from a node that is broken, or from one that tries what we do with it.
 */
export function nameFault({ filename, subfolder }: NonNullable<OutputReference['file']>): string | null {
  const shown = JSON.stringify(`${subfolder}/${filename}`.slice(0, MAX_SHOWN_CHARS));
  const names = [...subfolder.split(/[\\/]/), filename];
  if (hasControl(subfolder) || hasControl(filename)) return `the name ${shown} holds control characters`;
  if (/^[\\/]|^[a-z]:/i.test(filename) || /^[\\/]|^[a-z]:/i.test(subfolder))
    return `the name ${shown} is an absolute path`;
  // Any two dots in a name are refused by ComfyUI, also where they lead nowhere.
  if (names.includes('..') || filename.includes('..')) return `the name ${shown} leads out of its folder`;
  if (names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES)) {
    return `the name ${shown}… is longer than ${MAX_NAME_BYTES} bytes`;
  }
  return null;
}

function hasControl(text: string): boolean {
  return [...text].some((character) => character < ' ' || character === '\u007f');
}
