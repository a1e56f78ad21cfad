import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { saveTargetOf } from '../save-target.js';
import { savedFiles } from '../saved-files.js';
import { latentFrom, latentFile } from '../latent-file.js';
import type { NodeContext, NodeRunner } from '../node-runner.js';
import { NodeError } from '../node-runner.js';
import type { ImageValue, LatentValue } from '../node-value.js';
import { hashOf, renderFlat, renderPicture } from '../pictures.js';

/** A latent is an eighth of its picture each way; what does not divide is dropped (ComfyUI 0.8.0, nodes.py). */
const LATENT_BLOCK_PX = 8;

export const latentNodes: Readonly<Record<string, NodeRunner>> = {
  EmptyLatentImage: emptyLatent,
  EmptySD3LatentImage: emptyLatent,

  VAEEncode: async ({ inputs }) => {
    const { widthPx, heightPx, frames } = inputs.image('pixels');
    const base = hashOf(frames.map(hashOf));
    return { outputs: [latentOf({ widthPx, heightPx, batchSize: frames.length, base })] };
  },

  VAEDecode: decode,
  VAEDecodeTiled: decode,

  LatentUpscale: async ({ inputs }) => {
    const latent = inputs.latent('samples');
    const size = { widthPx: inputs.number('width'), heightPx: inputs.number('height') };
    return {
      outputs: [
        { ...latent, ...latentOf({ ...latent, ...size }), batchIndex: latent.batchIndex, recipe: latent.recipe },
      ],
    };
  },

  LatentUpscaleBy: async ({ inputs }) => {
    const latent = inputs.latent('samples');
    const factor = inputs.number('scale_by', 1);
    const size = { widthPx: latent.widthPx * factor, heightPx: latent.heightPx * factor };
    return {
      outputs: [
        { ...latent, ...latentOf({ ...latent, ...size }), batchIndex: latent.batchIndex, recipe: latent.recipe },
      ],
    };
  },

  LatentFromBatch: async ({ inputs }) => {
    const latent = inputs.latent('samples');
    const first = Math.min(inputs.number('batch_index'), latent.batchSize - 1);
    const batchSize = Math.min(inputs.number('length', 1), latent.batchSize - first);
    return { outputs: [{ ...latent, batchIndex: latent.batchIndex + first, batchSize }] };
  },

  SaveLatent: saveLatent,

  LoadLatent: async ({ inputs, files }) => {
    const path = files.annotatedPath(inputs.text('latent'));
    if (path === null) throw new NodeError('FileNotFoundError', `No such file or directory: ${inputs.text('latent')}`);
    return { outputs: [latentFrom(readFileSync(path))] };
  },
};

async function decode({ inputs }: NodeContext): Promise<{ outputs: ImageValue[] }> {
  const latent = inputs.latent('samples');
  const indexes = Array.from({ length: latent.batchSize }, (_, index) => latent.batchIndex + index);
  const frames = await Promise.all(indexes.map((index) => decoded(latent, index)));
  return { outputs: [{ kind: 'image', widthPx: latent.widthPx, heightPx: latent.heightPx, frames }] };
}

async function emptyLatent({ inputs }: NodeContext): Promise<{ outputs: LatentValue[] }> {
  const size = { widthPx: inputs.number('width'), heightPx: inputs.number('height') };
  return { outputs: [latentOf({ ...size, batchSize: inputs.number('batch_size', 1), base: '' })] };
}

async function saveLatent(context: NodeContext) {
  const latent = context.inputs.latent('samples');
  const prefix = context.inputs.text('filename_prefix');
  const target = saveTargetOf(context.files, 'output', { prefix, widthPx: 0, heightPx: 0 });
  const [file] = savedFiles(target, { count: 1, extension: 'latent', type: 'output' });
  if (file !== undefined) writeFileSync(join(target.folder, file.filename), latentFile(latent));
  return { outputs: [], ui: { latents: [file] } };
}

function latentOf(size: Omit<LatentValue, 'kind' | 'recipe' | 'batchIndex'>): LatentValue {
  const whole = (edgePx: number) => Math.floor(edgePx / LATENT_BLOCK_PX) * LATENT_BLOCK_PX;
  return {
    kind: 'latent',
    widthPx: whole(size.widthPx),
    heightPx: whole(size.heightPx),
    batchSize: size.batchSize,
    batchIndex: 0,
    base: size.base,
    recipe: null,
  };
}

/** A latent nobody sampled decodes to a brown surface, as an empty one does on a real model. */
async function decoded(latent: LatentValue, index: number): Promise<Buffer> {
  return latent.recipe === null ? renderFlat(latent, 0x7a6a5a) : renderPicture(latent.recipe, latent, index);
}
