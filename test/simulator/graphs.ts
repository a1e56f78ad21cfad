/** Graphs in API form, as small as a behaviour needs them. */

export interface TextToImage {
  readonly promptText?: string;
  readonly seed?: number;
  readonly steps?: number;
  readonly widthPx?: number;
  readonly heightPx?: number;
  readonly batchSize?: number;
  readonly prefix?: string;
}

export function textToImage(options: TextToImage = {}) {
  const {
    promptText = 'a house',
    seed = 1,
    steps = 4,
    widthPx = 128,
    heightPx = 64,
    batchSize = 1,
    prefix = 'p',
  } = options;
  return {
    ...base({ promptText, widthPx, heightPx, batchSize }),
    '3': node('KSampler', {
      ...{ seed, steps, cfg: 7, sampler_name: 'euler', scheduler: 'normal', denoise: 1 },
      ...{ model: ['4', 0], positive: ['6', 0], negative: ['7', 0], latent_image: ['5', 0] },
    }),
    ...decodeAndSave('3', prefix),
  };
}

/** The same request in two segments: steps 0 to `splitAt`, then the rest. */
export function segmented(options: TextToImage & { readonly splitAt: number }) {
  const { promptText = 'a house', seed = 1, steps = 4, widthPx = 128, heightPx = 64, prefix = 'p', splitAt } = options;
  const advanced = (latent: string, rest: Record<string, unknown>) =>
    node('KSamplerAdvanced', {
      ...{ noise_seed: seed, steps, cfg: 7, sampler_name: 'euler', scheduler: 'normal', ...rest },
      ...{ model: ['4', 0], positive: ['6', 0], negative: ['7', 0], latent_image: [latent, 0] },
    });
  return {
    ...base({ promptText, widthPx, heightPx, batchSize: 1 }),
    '31': advanced('5', {
      ...{ add_noise: 'enable', start_at_step: 0, end_at_step: splitAt, return_with_leftover_noise: 'enable' },
    }),
    '32': advanced('31', {
      ...{ add_noise: 'disable', start_at_step: splitAt, end_at_step: 10_000, return_with_leftover_noise: 'disable' },
    }),
    ...decodeAndSave('32', prefix),
  };
}

export function emptyImage(options: { readonly prefix?: string; readonly widthPx?: number } = {}) {
  const { prefix = 'e', widthPx = 16 } = options;
  return {
    '1': node('EmptyImage', { width: widthPx, height: 16, batch_size: 1, color: 255 }),
    '2': node('SaveImage', { filename_prefix: prefix, images: ['1', 0] }),
  };
}

export function node(classType: string, inputs: Record<string, unknown>) {
  return { class_type: classType, inputs };
}

function base(options: { promptText: string; widthPx: number; heightPx: number; batchSize: number }) {
  return {
    '4': node('CheckpointLoaderSimple', { ckpt_name: 'v1-5-pruned-emaonly.safetensors' }),
    '5': node('EmptyLatentImage', {
      ...{ width: options.widthPx, height: options.heightPx, batch_size: options.batchSize },
    }),
    '6': node('CLIPTextEncode', { text: options.promptText, clip: ['4', 1] }),
    '7': node('CLIPTextEncode', { text: '', clip: ['4', 1] }),
  };
}

function decodeAndSave(samplerId: string, prefix: string) {
  return {
    '8': node('VAEDecode', { samples: [samplerId, 0], vae: ['4', 2] }),
    '9': node('SaveImage', { filename_prefix: prefix, images: ['8', 0] }),
  };
}
