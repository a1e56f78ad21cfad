import type { GenerationInput } from '../../workflows/contracts/generation.js';
import type { Needs } from '../../workflows/domain/capability-gaps.js';

/** What a generation needs, as far as it can be told without its graph. */
export function knownNeedsOf({ models = [], vramGb }: Pick<GenerationInput, 'models' | 'vramGb'>): Needs {
  return { nodeClasses: [], files: models, vramGb: vramGb ?? null };
}
