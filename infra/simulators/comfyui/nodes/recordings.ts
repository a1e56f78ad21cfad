import { join } from 'node:path';
import sharp from 'sharp';
import { encodeMedia } from '../media-encoder.js';
import type { NodeContext, NodeResult, NodeRunner } from '../node-runner.js';
import { NodeError } from '../node-runner.js';
import type { ImageValue } from '../node-value.js';
import { saveTargetOf } from '../save-target.js';
import { savedFiles } from '../saved-files.js';
import type { SavedFile } from '../saved-files.js';

const H264 = ['-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-movflags', '+faststart'];
const WEBM_CODECS: Readonly<Record<string, readonly string[]>> = {
  vp9: ['-c:v', 'libvpx-vp9', '-deadline', 'realtime'],
  av1: ['-c:v', 'libaom-av1', '-strict', 'experimental', '-cpu-used', '8'],
};
/** Of the formats that Video Helper Suite ships, those that the project's graphs may name. */
const COMBINED: Readonly<Record<string, { readonly extension: string; readonly args: readonly string[] }>> = {
  'image/gif': { extension: 'gif', args: [] },
  'image/webp': { extension: 'webp', args: ['-c:v', 'libwebp_anim', '-loop', '0'] },
  'video/h264-mp4': { extension: 'mp4', args: H264 },
  'video/webm': { extension: 'webm', args: [...(WEBM_CODECS['vp9'] ?? []), '-c:a', 'libopus'] },
};

/** Videos, animations and sounds: real files, under the keys that ComfyUI and Video Helper Suite report them. */
export const recordingNodes: Readonly<Record<string, NodeRunner>> = {
  CreateVideo: async ({ inputs }) => {
    const sound = inputs.value('audio') === undefined ? null : inputs.sound('audio').seconds;
    return {
      outputs: [{ kind: 'video', images: inputs.image('images'), fps: inputs.number('fps', 30), soundSeconds: sound }],
    };
  },

  SaveVideo: async (context) => {
    const { images, fps, soundSeconds } = context.inputs.video('video');
    const args = [...H264, ...(soundSeconds === null ? [] : ['-c:a', 'aac', '-shortest'])];
    const file = await saved(context, { images, fps, soundSeconds, args, extension: 'mp4' });
    return { outputs: [], ui: { images: [file], animated: [true] } };
  },

  SaveWEBM: async (context) => {
    const { inputs } = context;
    const args = WEBM_CODECS[inputs.text('codec')] ?? [];
    const animation = { images: inputs.image('images'), fps: inputs.number('fps', 24), soundSeconds: null };
    const file = await saved(context, { ...animation, args, extension: 'webm' });
    return { outputs: [], ui: { images: [file], animated: [true] } };
  },

  SaveAnimatedWEBP: async (context) => {
    const { inputs } = context;
    const images = inputs.image('images');
    const file = fileOf(context, images, 'webp');
    const delay = images.frames.map(() => Math.round(1_000 / inputs.number('fps', 6)));
    await sharp([...images.frames], { join: { animated: true } })
      .webp({ delay, lossless: inputs.value('lossless') === true, quality: Math.max(1, inputs.number('quality', 80)) })
      .toFile(file.path);
    return { outputs: [], ui: { images: [file.saved], animated: [images.frames.length > 1] } };
  },

  SaveAnimatedPNG: async (context) => {
    const { inputs } = context;
    const animation = { images: inputs.image('images'), fps: inputs.number('fps', 6), soundSeconds: null };
    const file = await saved(context, { ...animation, args: ['-f', 'apng', '-plays', '0'], extension: 'png' });
    return { outputs: [], ui: { images: [file], animated: [true] } };
  },

  VHS_VideoCombine: async (context) => {
    const { inputs } = context;
    const format = inputs.text('format');
    const combined = COMBINED[format];
    if (combined === undefined) throw new NodeError('KeyError', `'${format}'`);
    const fps = inputs.number('frame_rate', 8);
    const sound = (inputs.value('audio') ?? null) === null ? null : inputs.sound('audio').seconds;
    const file = await saved(context, { ...combined, images: inputs.image('images'), fps, soundSeconds: sound });
    return { outputs: [null], ui: { gifs: [{ ...file, format, frame_rate: fps }] } };
  },

  EmptyAudio: async ({ inputs }) => ({ outputs: [{ kind: 'sound', seconds: inputs.number('duration', 60) }] }),
  SaveAudio: soundSaver('flac', () => []),
  SaveAudioMP3: soundSaver('mp3', (quality) => (quality === 'V0' ? ['-q:a', '0'] : ['-b:a', quality])),
  SaveAudioOpus: soundSaver('opus', (quality) => ['-c:a', 'libopus', '-b:a', quality]),
};

interface Animation {
  readonly images: ImageValue;
  readonly fps: number;
  readonly soundSeconds: number | null;
  readonly args: readonly string[];
  readonly extension: string;
}

async function saved(context: NodeContext, animation: Animation): Promise<SavedFile> {
  const { images, fps, soundSeconds, args, extension } = animation;
  const file = fileOf(context, images, extension);
  await encodeMedia({ frames: images.frames, fps, soundSeconds, args, path: file.path });
  return file.saved;
}

function soundSaver(extension: string, argsFor: (quality: string) => readonly string[]): NodeRunner {
  return async (context): Promise<NodeResult> => {
    const { seconds } = context.inputs.sound('audio');
    const file = fileOf(context, { widthPx: 0, heightPx: 0 }, extension);
    const args = argsFor(context.inputs.text('quality', '128k'));
    await encodeMedia({ frames: [], fps: 1, soundSeconds: seconds, args, path: file.path });
    return { outputs: [], ui: { audio: [file.saved] } };
  };
}

function fileOf(
  context: NodeContext,
  size: { readonly widthPx: number; readonly heightPx: number },
  extension: string,
): { readonly saved: SavedFile; readonly path: string } {
  const prefix = context.inputs.text('filename_prefix', 'ComfyUI');
  const { widthPx, heightPx } = size;
  const target = saveTargetOf(context.files, 'output', { prefix, widthPx, heightPx });
  const [file] = savedFiles(target, { count: 1, extension, type: 'output' });
  if (file === undefined) throw new TypeError('one file was asked for');
  return { saved: file, path: join(target.folder, file.filename) };
}
