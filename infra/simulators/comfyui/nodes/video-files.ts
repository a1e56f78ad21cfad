import sharp from 'sharp';
import { decodeVideo } from '../media-decoder.js';
import type { NodeContext, NodeRunner } from '../node-runner.js';
import { NodeError } from '../node-runner.js';
import type { ImageValue } from '../node-value.js';

/** Videos that somebody uploaded. */
export const videoFileNodes: Readonly<Record<string, NodeRunner>> = {
  LoadVideo: async (context) => {
    const { frames, fps } = await decodeVideo(pathOf(context, 'file'), { fps: null, maxFrames: null });
    return { outputs: [{ kind: 'video', images: await imageOf(frames), fps, soundSeconds: null }] };
  },

  GetVideoComponents: async ({ inputs }) => {
    const { images, fps, soundSeconds } = inputs.video('video');
    return { outputs: [images, soundSeconds === null ? null : { kind: 'sound', seconds: soundSeconds }, fps] };
  },

  VHS_LoadVideo: async (context) => {
    const { inputs } = context;
    const fps = inputs.number('force_rate') || null;
    const skipped = inputs.number('skip_first_frames');
    const cap = inputs.number('frame_load_cap') || null;
    const decoded = await decodeVideo(pathOf(context, 'video'), {
      fps,
      maxFrames: cap === null ? null : cap + skipped,
    });
    const nth = Math.max(1, inputs.number('select_every_nth', 1));
    const frames = decoded.frames.slice(skipped).filter((_, index) => index % nth === 0);
    const image = await imageOf(frames);
    // Of a video without one, Video Helper Suite hands on a sound that cannot be read.
    const sound = decoded.hasSound ? ({ kind: 'sound', seconds: frames.length / decoded.fps } as const) : null;
    return { outputs: [image, frames.length, sound, { kind: 'settings', facts: { fps: decoded.fps } }] };
  },
};

function pathOf({ inputs, files }: NodeContext, input: string): string {
  const path = files.annotatedPath(inputs.text(input));
  if (path !== null) return path;
  throw new NodeError('FileNotFoundError', `[Errno 2] No such file or directory: '${inputs.text(input)}'`);
}

async function imageOf(frames: readonly Buffer[]): Promise<ImageValue> {
  const [first] = frames;
  if (first === undefined) throw new NodeError('RuntimeError', 'No frames generated');
  const { width, height } = await sharp(first).metadata();
  return { kind: 'image', widthPx: width, heightPx: height, frames };
}
