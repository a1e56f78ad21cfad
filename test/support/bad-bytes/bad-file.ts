import type { MediaFault } from '../../../workflows/domain/media-signature.js';
import type { Spoil } from '../output-swapper.js';
import type { StrictTemplate } from './strict-templates.js';

/** An item of the corpus of A8: a file that must not be delivered, and how the verdict calls it. */
export interface BadFile extends Spoil {
  readonly template: StrictTemplate;
  /** Any of these is right. */
  readonly faults: readonly MediaFault[];
  /** Where the file is not even judged. */
  readonly kind?: 'OUTPUT_TOO_LARGE';
  /** Small on its way, and large for whoever unpacks it, or believes what it says. */
  readonly isBomb?: boolean;
  /** True for what fal.ai names by nothing but its address: it is delivered as what it is. */
  readonly isFineOnFal?: boolean;
}

/** What differs with a seed is tried with each of these. */
export function seeds(many: number): readonly number[] {
  return Array.from({ length: many }, (_, index) => index + 1);
}
