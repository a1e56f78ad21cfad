import type { LatentValue } from './node-value.js';

/** A latent is an eighth of its picture each way; what does not divide is dropped (ComfyUI 0.8.0, nodes.py). */
const LATENT_BLOCK_PX = 8;

export interface LatentShape {
  readonly widthPx: number;
  readonly heightPx: number;
  readonly batchSize: number;
  readonly frameCount?: number;
  readonly base?: string;
  readonly source?: LatentValue['source'];
  /** Pixels of one element each way, where it is not 8. */
  readonly blockPx?: number;
}

/** A latent that nobody has sampled yet. */
export function newLatent(shape: LatentShape): LatentValue {
  const { batchSize, frameCount = 1, base = '', source = null, blockPx = LATENT_BLOCK_PX } = shape;
  const whole = (edgePx: number) => Math.floor(edgePx / blockPx) * blockPx;
  const size = { widthPx: whole(shape.widthPx), heightPx: whole(shape.heightPx) };
  return { kind: 'latent', ...size, batchSize, batchIndex: 0, frameCount, base, source, recipe: null };
}
