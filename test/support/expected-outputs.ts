import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';

/** Anything will do, but for what a test asks for. */
export function buildExpectedOutputs(asked: Partial<ExpectedOutputs> = {}): ExpectedOutputs {
  return {
    ...{ kind: null, widthPx: null, heightPx: null, count: null, frames: null, durationSeconds: null },
    flatImages: 'allow',
    ...asked,
  };
}
