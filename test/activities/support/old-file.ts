import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Writes a file that was last changed so long ago. */
export async function oldFile(path: string, ageSeconds: number, text = 'twelve bytes'): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  await ageFile(path, ageSeconds);
  return path;
}

export async function ageFile(path: string, ageSeconds: number): Promise<void> {
  const at = Date.now() / 1_000 - ageSeconds;
  await utimes(path, at, at);
}
