import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import { invalid } from './media-verdict.js';
import type { MediaVerdict } from './media-verdict.js';

/** A frame or two more or less, and what containers round to. */
const DURATION_TOLERANCE_SECONDS = 0.25;

/** A picture or a video of another size than was asked; a side that the request leaves open fits always. */
export function sizeFault(
  { widthPx, heightPx }: { readonly widthPx: number | null; readonly heightPx: number | null },
  expected: Pick<ExpectedOutputs, 'widthPx' | 'heightPx'>,
): MediaVerdict | null {
  if (widthPx === null || heightPx === null) return null;
  const fits = (expected.widthPx ?? widthPx) === widthPx && (expected.heightPx ?? heightPx) === heightPx;
  if (fits) return null;
  const asked = `${expected.widthPx ?? 'any'}×${expected.heightPx ?? 'any'}`;
  return invalid('wrong_size', `it is ${widthPx}×${heightPx}, asked were ${asked}`);
}

/** Of a video, an animation or a sound. */
export function durationFault(
  seconds: number,
  { durationSeconds: asked }: Pick<ExpectedOutputs, 'durationSeconds'>,
): MediaVerdict | null {
  if (asked === null || Math.abs(seconds - asked) <= DURATION_TOLERANCE_SECONDS) return null;
  return invalid('wrong_duration', `it takes ${seconds.toFixed(2)} s, asked were ${asked.toFixed(2)} s`);
}
