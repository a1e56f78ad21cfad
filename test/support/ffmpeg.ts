import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

/** The program that npm brings, so that every machine makes and checks videos alike. */
export const FFMPEG_PATH = (createRequire(import.meta.url)('@ffmpeg-installer/ffmpeg') as { readonly path: string })
  .path;

/** A test picture that moves, 24 pictures a second. */
export function movingPicture(size: string, seconds: number): readonly string[] {
  return ['-f', 'lavfi', '-i', `testsrc=size=${size}:rate=24:duration=${seconds}`];
}

export function tone(seconds: number): readonly string[] {
  return ['-f', 'lavfi', '-i', `sine=frequency=440:duration=${seconds}`];
}

/** Runs ffmpeg; its last argument is the file that it makes. */
export function makeMedia(...args: readonly string[]): void {
  execFileSync(FFMPEG_PATH, ['-nostdin', '-v', 'error', '-y', ...args]);
}
