import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import { invalid } from './media-verdict.js';
import type { MediaVerdict } from './media-verdict.js';

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
