import { nodeGroups } from './faults/node-groups.js';
import type { NodeValue } from './node-value.js';

/** The card of a simulator that was given none. */
export const USUAL_VRAM_GIB = 24;

const MODEL_GIB = 4;
const SAMPLING_GIB_PER_MEGAPIXEL = 1.5;
const VAE_GIB = 1;
const DECODING_GIB_PER_MEGAPIXEL = 4;
const MEGAPIXEL = 1024 * 1024;

/** What a node asked for and did not get. */
export interface Shortage {
  readonly neededGib: number;
  readonly heldGib: number;
  readonly totalGib: number;
}

/**
 * The memory of the card, in GiB, a megapixel being 1024 × 1024:
 * sampling needs 4 + 1.5 × batch × megapixels; VAEDecode and VAEEncode, one picture at a time, 1 + 4 × megapixels, and
 * the tiled forms 1 + 4 × the megapixels of one tile; other nodes nothing. Held memory is missing until POST /free.
 */
export class Vram {
  /** `null`: there is always enough. */
  totalGib: number | null;
  #heldGib = 0;

  constructor(totalGib: number | null) {
    this.totalGib = totalGib;
  }

  get heldGib(): number {
    return this.#heldGib;
  }

  hold(gib: number): void {
    this.#heldGib += gib;
  }

  free(): void {
    this.#heldGib = 0;
  }

  shortageOf(nodeType: string, values: Readonly<Record<string, NodeValue>>): Shortage | null {
    if (this.totalGib === null) return null;
    const neededGib = neededBy(nodeType, values);
    if (neededGib + (neededGib > 0 ? this.#heldGib : 0) <= this.totalGib) return null;
    return { neededGib, heldGib: this.#heldGib, totalGib: this.totalGib };
  }
}

function neededBy(nodeType: string, values: Readonly<Record<string, NodeValue>>): number {
  const work = sizeOf(values['latent_image'] ?? values['samples'] ?? values['pixels']);
  if (work === null) return 0;
  if (nodeGroups.samplers(nodeType)) return MODEL_GIB + SAMPLING_GIB_PER_MEGAPIXEL * work.batchSize * work.megapixels;
  if (!/^VAE(De|En)code(Tiled)?$/.test(nodeType)) return 0;
  const tilePx = values['tile_size'];
  const isTiled = nodeType.endsWith('Tiled') && typeof tilePx === 'number';
  const atOnce = isTiled ? Math.min(work.megapixels, tilePx ** 2 / MEGAPIXEL) : work.megapixels;
  return VAE_GIB + DECODING_GIB_PER_MEGAPIXEL * atOnce;
}

function sizeOf(value: NodeValue | undefined): { readonly megapixels: number; readonly batchSize: number } | null {
  if (typeof value !== 'object' || value === null) return null;
  if (value.kind !== 'latent' && value.kind !== 'image') return null;
  const batchSize = value.kind === 'latent' ? value.batchSize : value.frames.length;
  return { megapixels: (value.widthPx * value.heightPx) / MEGAPIXEL, batchSize };
}
