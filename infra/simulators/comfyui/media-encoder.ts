import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { installedFfmpeg } from '../../runtime/installed-ffmpeg.js';
import { NodeError } from './node-runner.js';

/** What npm brings for this platform, else what PATH has. */
const FFMPEG = installedFfmpeg() ?? 'ffmpeg';
const ENCODE_MS = 10 * 60_000;

export interface Encoding {
  /** PNG files, one after the other; none for a sound alone. */
  readonly frames: readonly Buffer[];
  readonly fps: number;
  /** Seconds of silence that go with it, as the node EmptyAudio makes it; `null` for none. */
  readonly soundSeconds: number | null;
  /** What ffmpeg makes of it: codec and format. */
  readonly args: readonly string[];
  readonly path: string;
}

/** Writes a real video or sound. Rejects with the exception that a node would raise. */
export async function encodeMedia({ frames, fps, soundSeconds, args, path }: Encoding): Promise<void> {
  const pictures = frames.length === 0 ? [] : ['-f', 'image2pipe', '-c:v', 'png', '-r', String(fps), '-i', 'pipe:0'];
  const silence = ['-f', 'lavfi', '-t', String(soundSeconds), '-i', 'anullsrc=r=44100:cl=stereo'];
  const inputs = [...pictures, ...(soundSeconds === null ? [] : silence)];
  const child = spawn(FFMPEG, ['-hide_banner', '-v', 'error', '-y', ...inputs, ...args, path], {
    stdio: ['pipe', 'ignore', 'pipe'],
    timeout: ENCODE_MS,
  });
  const said: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  child.stdin.on('error', () => undefined); // it ended early; its exit code tells
  Readable.from(frames).pipe(child.stdin);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => {
      reject(new NodeError('RuntimeError', `The simulator needs ffmpeg for this: ${error.message}`));
    });
    child.once('close', resolve);
  });
  if (code !== 0) throw new NodeError('av.error.ExternalError', said.join('').trim());
}
