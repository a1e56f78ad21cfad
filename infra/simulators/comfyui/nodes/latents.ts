import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { latentFrom, latentFile } from '../latent-file.js';
import { latentPicture } from '../latent-picture.js';
import { newLatent } from '../new-latent.js';
import type { NodeContext, NodeRunner } from '../node-runner.js';
import { NodeError } from '../node-runner.js';
import type { ImageValue, LatentValue } from '../node-value.js';
import { hashOf } from '../pictures.js';
import type { PicturePlace } from '../pictures.js';
import { saveTargetOf } from '../save-target.js';
import { savedFiles } from '../saved-files.js';

export const latentNodes: Readonly<Record<string, NodeRunner>> = {
  EmptyLatentImage: emptyLatent,
  EmptySD3LatentImage: emptyLatent,
  EmptyHunyuanLatentVideo: emptyVideo({ framesPerStep: 4, blockPx: 8 }),
  EmptyLTXVLatentVideo: emptyVideo({ framesPerStep: 8, blockPx: 32 }),
  Wan22ImageToVideoLatent: emptyVideo({ framesPerStep: 4, blockPx: 16 }),

  VAEEncode: async ({ inputs }) => {
    const image = inputs.image('pixels');
    const { widthPx, heightPx, frames } = image;
    const [first] = frames;
    const source = first === undefined ? null : { picture: first.toString('base64'), mask: null };
    return {
      outputs: [newLatent({ widthPx, heightPx, batchSize: frames.length, base: hashOf(frames.map(hashOf)), source })],
    };
  },

  VAEDecode: decode,
  VAEDecodeTiled: decode,

  LatentUpscale: async ({ inputs }) => {
    const latent = inputs.latent('samples');
    return { outputs: [resized(latent, { widthPx: inputs.number('width'), heightPx: inputs.number('height') })] };
  },

  LatentUpscaleBy: async ({ inputs }) => {
    const latent = inputs.latent('samples');
    const factor = inputs.number('scale_by', 1);
    return { outputs: [resized(latent, { widthPx: latent.widthPx * factor, heightPx: latent.heightPx * factor })] };
  },

  LatentFromBatch: async ({ inputs }) => {
    const latent = inputs.latent('samples');
    const first = Math.min(inputs.number('batch_index'), latent.batchSize - 1);
    const batchSize = Math.min(inputs.number('length', 1), latent.batchSize - first);
    return { outputs: [{ ...latent, batchIndex: latent.batchIndex + first, batchSize }] };
  },

  RepeatLatentBatch: async ({ inputs }) => {
    const latent = inputs.latent('samples');
    return { outputs: [{ ...latent, batchSize: latent.batchSize * inputs.number('amount', 1) }] };
  },

  SaveLatent: saveLatent,

  LoadLatent: async ({ inputs, files }) => {
    const path = files.annotatedPath(inputs.text('latent'));
    if (path === null) throw new NodeError('FileNotFoundError', `No such file or directory: ${inputs.text('latent')}`);
    return { outputs: [latentFrom(readFileSync(path))] };
  },
};

/** A batch of pictures; of a latent of videos, the pictures of each one after the other. */
async function decode({ inputs }: NodeContext): Promise<{ outputs: ImageValue[] }> {
  const latent = inputs.latent('samples');
  const frames = await Promise.all(placesIn(latent).map((place) => latentPicture(latent, place)));
  return { outputs: [{ kind: 'image', widthPx: latent.widthPx, heightPx: latent.heightPx, frames }] };
}

function placesIn({ batchSize, batchIndex, frameCount }: LatentValue): readonly PicturePlace[] {
  const indexes = Array.from({ length: batchSize }, (_, item) => batchIndex + item);
  if (frameCount === 1) return indexes.map((index) => ({ index }));
  return indexes.flatMap((index) => Array.from({ length: frameCount }, (_, frame) => ({ index, frame, frameCount })));
}

async function emptyLatent({ inputs }: NodeContext): Promise<{ outputs: LatentValue[] }> {
  const size = { widthPx: inputs.number('width'), heightPx: inputs.number('height') };
  return { outputs: [newLatent({ ...size, batchSize: inputs.number('batch_size', 1) })] };
}

/** A video model keeps one element for its first picture and one for each step of the others; what is left over is dropped. */
function emptyVideo({
  framesPerStep,
  blockPx,
}: {
  readonly framesPerStep: number;
  readonly blockPx: number;
}): NodeRunner {
  return async ({ inputs }) => {
    const size = { widthPx: inputs.number('width'), heightPx: inputs.number('height') };
    const frameCount = Math.floor((inputs.number('length', 1) - 1) / framesPerStep) * framesPerStep + 1;
    return { outputs: [newLatent({ ...size, batchSize: inputs.number('batch_size', 1), frameCount, blockPx })] };
  };
}

async function saveLatent(context: NodeContext) {
  const latent = context.inputs.latent('samples');
  const prefix = context.inputs.text('filename_prefix');
  const target = saveTargetOf(context.files, 'output', { prefix, widthPx: 0, heightPx: 0 });
  const [file] = savedFiles(target, { count: 1, extension: 'latent', type: 'output' });
  if (file !== undefined) writeFileSync(join(target.folder, file.filename), latentFile(latent));
  return { outputs: [], ui: { latents: [file] } };
}

function resized(latent: LatentValue, size: { readonly widthPx: number; readonly heightPx: number }): LatentValue {
  const { widthPx, heightPx } = newLatent({ ...latent, ...size });
  return { ...latent, widthPx, heightPx };
}
