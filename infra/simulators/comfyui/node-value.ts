/** What decides a picture: equal recipes give equal pictures, however the sampling was split into segments. */
export interface Recipe {
  /** Hash of the picture or latent sampling started from; empty for plain noise. */
  readonly base: string;
  readonly modelName: string;
  readonly promptText: string;
  readonly negativeText: string;
  readonly seed: number;
  readonly steps: number;
  readonly stepsDone: number;
  readonly cfg: number;
  readonly samplerName: string;
  readonly scheduler: string;
  readonly denoise: number;
}

/** The picture that a latent was encoded from; what of it is seen in the result depends on the denoising and on the mask. */
export interface LatentSource {
  /** A PNG file, base64: a latent can be saved. */
  readonly picture: string;
  /** A PNG file, base64, white where the sampler may paint; `null`: everywhere. */
  readonly mask: string | null;
}

export interface LatentValue {
  readonly kind: 'latent';
  readonly widthPx: number;
  readonly heightPx: number;
  readonly batchSize: number;
  /** Place of the first picture in the batch that it was taken from: it decides the noise, and so the picture. */
  readonly batchIndex: number;
  /** Pictures of each item of the batch: more than 1 in a latent of a video model. */
  readonly frameCount: number;
  /** Hash of an encoded picture, for a latent that comes from one. */
  readonly base: string;
  readonly source: LatentSource | null;
  readonly recipe: Recipe | null;
}

/** IMAGE, and MASK as a grey one. */
export interface ImageValue {
  readonly kind: 'image';
  readonly widthPx: number;
  readonly heightPx: number;
  /** One PNG file per picture of the batch. */
  readonly frames: readonly Buffer[];
}

/** Pictures and how fast they are shown (VIDEO); `soundSeconds` is `null` without sound. */
export interface VideoValue {
  readonly kind: 'video';
  readonly images: ImageValue;
  readonly fps: number;
  readonly soundSeconds: number | null;
}

/** Silence (AUDIO): of a sound only its length matters. */
export interface SoundValue {
  readonly kind: 'sound';
  readonly seconds: number;
}

/** MODEL, CLIP, VAE and the like: all that matters of them is which file they came from. */
export interface ModelValue {
  readonly kind: 'model';
  readonly name: string;
}

export interface ConditioningValue {
  readonly kind: 'conditioning';
  readonly text: string;
}

/** Sampler parts of a SamplerCustomAdvanced graph: plain facts carried to the node that samples. */
export interface SettingsValue {
  readonly kind: 'settings';
  readonly facts: Readonly<Record<string, string | number>>;
}

/** In place of a value: whoever receives it does not run (ComfyUI's ExecutionBlocker). */
export interface BlockedValue {
  readonly kind: 'blocked';
}

export type NodeValue =
  | string
  | number
  | boolean
  | null
  | LatentValue
  | ImageValue
  | VideoValue
  | SoundValue
  | ModelValue
  | ConditioningValue
  | SettingsValue
  | BlockedValue;

/** How Python would print a value in `current_inputs`: scalars as they are, everything else as `str(x)`. */
export function formattedValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (!('kind' in value)) return JSON.stringify(value);
  return value.kind === 'image' || value.kind === 'latent' ? 'tensor([[[[...]]]])' : `<${String(value.kind)}>`;
}
