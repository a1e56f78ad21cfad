import { newLatent } from '../new-latent.js';
import type { NodeInputs } from '../node-inputs.js';
import type { NodeRunner } from '../node-runner.js';
import type { ImageValue, LatentValue } from '../node-value.js';
import { hashOf } from '../pictures.js';

/** Latents that keep a part of a picture. */
export const inpaintingNodes: Readonly<Record<string, NodeRunner>> = {
  VAEEncodeForInpaint: async ({ inputs }) => ({
    outputs: [maskedLatent(inputs.image('pixels'), inputs.image('mask'))],
  }),

  SetLatentNoiseMask: async ({ inputs }) => {
    const latent = inputs.latent('samples');
    const mask = base64Of(inputs.image('mask'));
    return { outputs: [{ ...latent, source: latent.source === null ? null : { ...latent.source, mask } }] };
  },

  InpaintModelConditioning: async ({ inputs }) => ({
    outputs: [
      conditioning(inputs, 'positive'),
      conditioning(inputs, 'negative'),
      maskedLatent(inputs.image('pixels'), inputs.image('mask')),
    ],
  }),
};

/** A model made for inpainting keeps what is black by itself, whether or not the noise is masked, too. */
function maskedLatent(pixels: ImageValue, mask: ImageValue): LatentValue {
  const { widthPx, heightPx, frames } = pixels;
  const base = hashOf([...frames, ...mask.frames].map(hashOf));
  const source = { picture: base64Of(pixels), mask: base64Of(mask) };
  return newLatent({ widthPx, heightPx, batchSize: frames.length, base, source });
}

function conditioning(inputs: NodeInputs, name: string) {
  return { kind: 'conditioning', text: inputs.conditioningText(name) } as const;
}

function base64Of({ frames }: ImageValue): string {
  return frames[0]?.toString('base64') ?? '';
}
