import { spawn } from 'node:child_process';
import { installedFfmpeg } from '../../runtime/installed-ffmpeg.js';
import { NodeError } from './node-runner.js';

const FFMPEG = installedFfmpeg() ?? 'ffmpeg';
const DECODE_MS = 5 * 60_000;
const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** What ffmpeg says of a stream: `…, 1024x576, …, 24 fps, …`. */
const STATED_FPS = /, ([\d.]+) fps/;
const STATED_SOUND = /Stream #0:\d.*: Audio: /;
const USUAL_FPS = 24;

/** The pictures of a video as PNG files, at another rate or no more than so many if asked for. */
export async function decodeVideo(
  path: string,
  { fps, maxFrames }: { readonly fps: number | null; readonly maxFrames: number | null },
): Promise<{ readonly frames: readonly Buffer[]; readonly fps: number; readonly hasSound: boolean }> {
  const rate = fps === null ? [] : ['-vf', `fps=${fps}`];
  const cap = maxFrames === null ? [] : ['-frames:v', String(maxFrames)];
  const args = ['-hide_banner', '-nostdin', '-i', path, ...rate, ...cap, '-f', 'image2pipe', '-c:v', 'png', 'pipe:1'];
  const child = spawn(FFMPEG, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: DECODE_MS });
  const pictures: Buffer[] = [];
  const said: string[] = [];
  child.stdout.on('data', (chunk: Buffer) => pictures.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => {
      reject(new NodeError('RuntimeError', `The simulator needs ffmpeg for this: ${error.message}`));
    });
    child.once('close', resolve);
  });
  if (code !== 0) throw new NodeError('av.error.InvalidDataError', said.join('').trim().split('\n').at(-1) ?? '');
  return {
    frames: filesIn(Buffer.concat(pictures)),
    fps: fps ?? Number(STATED_FPS.exec(said.join(''))?.[1] ?? USUAL_FPS),
    hasSound: STATED_SOUND.test(said.join('')),
  };
}

/** PNG files stand one after the other; within one, their signature of eight bytes does not occur but by chance. */
function filesIn(stream: Buffer): readonly Buffer[] {
  const starts: number[] = [];
  for (let at = stream.indexOf(PNG_SIGNATURE); at !== -1; at = stream.indexOf(PNG_SIGNATURE, at + 8)) starts.push(at);
  return starts.map((start, index) => stream.subarray(start, starts[index + 1] ?? stream.length));
}
