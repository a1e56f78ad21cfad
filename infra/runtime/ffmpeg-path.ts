import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ConfigError, stringFrom } from './env.js';
import type { Env } from './env.js';

const OFF = 'off';

/** `FFMPEG_PATH`: a file, `off`, or unset for the first in PATH; `null` where there is none. */
export function ffmpegPathFrom(env: Env): string | null {
  const configured = stringFrom(env, 'FFMPEG_PATH', '');
  if (configured === OFF) return null;
  if (configured === '') return inPath(env);
  if (!isExecutable(configured)) {
    throw new ConfigError(`FFMPEG_PATH is "${configured}", which is no program; unset it, or set it to "${OFF}"`);
  }
  return configured;
}

function inPath(env: Env): string | null {
  const folders = stringFrom(env, 'PATH', '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, 'ffmpeg')).find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // absent, or not ours to run
  }
}
