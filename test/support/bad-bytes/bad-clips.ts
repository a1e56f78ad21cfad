import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MediaFault } from '../../../workflows/domain/media-signature.js';
import { makeMedia, movingPicture } from '../ffmpeg.js';
import { createRandom } from '../random.js';
import type { BadFile } from './bad-file.js';

/** Less than that inside one picture may decode: H.264 has no checksums (400 zeros were missed 26 of 40 times). */
const ZEROS = 2_048;

/** Videos that arrive as they are sent, but are damaged, or not what was asked. */
export function badClips(folder: string, seeds: readonly number[]): readonly BadFile[] {
  const path = join(folder, 'clip.mp4');
  const noisy = ['-vf', 'noise=alls=60:allf=t+u', '-c:v', 'libx264', '-pix_fmt', 'yuv420p'];
  makeMedia(...movingPicture('96x64', 0.5), ...noisy, path);
  const mp4 = readFileSync(path);
  const made = (name: string, ...args: readonly string[]): Buffer => {
    makeMedia(...args, join(folder, name));
    return readFileSync(join(folder, name));
  };
  const indexFirst = made('front.mp4', '-i', path, '-c', 'copy', '-movflags', '+faststart');
  const webm = made('clip.webm', '-i', path, '-c:v', 'libvpx-vp9');
  const none = made('none.mp4', '-i', path, '-c', 'copy', '-frames:v', '0');
  const long = made('long.mp4', ...movingPicture('96x64', 2), '-c:v', 'libx264', '-pix_fmt', 'yuv420p');
  const [mdat, moov] = [mp4.indexOf('mdat') - 4, mp4.indexOf('moov') - 4];
  const page = Buffer.from('<!DOCTYPE html><html></html>');
  return [
    clip('a video of 0 bytes', ['empty'], () => Buffer.alloc(0)),
    clip('a video without its index', ['truncated'], () => mp4.subarray(0, moov)),
    clip('half a video', ['truncated'], () => indexFirst.subarray(0, mp4.length / 2)),
    clip('a video without a single picture', ['wrong_kind'], () => none),
    clip('zeros', ['unknown_signature'], () => Buffer.alloc(mp4.length)),
    clip('another container', ['wrong_type'], () => webm),
    clip('a longer video', ['wrong_frames', 'wrong_duration'], () => long),
    clip('a page in place of a video', ['unknown_signature'], () => page),
    { ...clip('a video without the sound', ['no_sound'], () => mp4), template: 'talking-clip' },
    ...seeds.map((seed) => {
      const at = mdat + 700 + Math.floor(createRandom(seed)() * (moov - mdat - 700 - ZEROS));
      return clip(`zeros from byte ${at} on`, ['undecodable'], () => Buffer.from(mp4).fill(0, at, at + ZEROS));
    }),
    ...seeds.map((seed) => {
      const at = 40 + Math.floor(createRandom(seed)() * (webm.length - 50));
      const faults = ['truncated', 'undecodable', 'no_frames'] as const;
      const cut = clip(`a WebM cut at byte ${at}`, faults, () => webm.subarray(0, at));
      return { ...cut, template: 'webm-clip' as const };
    }),
    ...seeds.map((seed) => {
      const at = 40 + Math.floor(createRandom(seed)() * (mp4.length - 50));
      return clip(`a video cut at byte ${at}`, ['truncated', 'undecodable'], () => indexFirst.subarray(0, at));
    }),
  ];
}

function clip(name: string, faults: readonly MediaFault[], body: () => Buffer): BadFile {
  return { name, faults, body, template: 'strict-clip' };
}
