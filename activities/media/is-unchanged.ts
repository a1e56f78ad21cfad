import sharp from 'sharp';
import type { Sharp } from 'sharp';

/** Of 255. ComfyUI turns pixels into floats and cuts them back, and a node between may have rounded once more. */
const ROUNDING = 2;
/** Both are decoded into memory, at most 48 MiB each. */
const MAX_PIXELS = 4_096 * 4_096;

/**
 * Whether a picture is another one, pixel by pixel, whatever the two are stored as; transparency does not count. A picture
 * of another size, an animation, or one of more than 16 megapixels is never the same: nothing is claimed of it.
 */
export async function isUnchanged(picture: string, original: Uint8Array): Promise<boolean> {
  const [made, given] = [sharp(picture), sharp(original)];
  const [ofMade, ofGiven] = await Promise.all([made.metadata(), given.metadata()]);
  const isStill = (ofMade.pages ?? 1) === 1 && (ofGiven.pages ?? 1) === 1;
  const isSameSize = ofMade.width === ofGiven.width && ofMade.height === ofGiven.height;
  if (!isStill || !isSameSize || ofMade.width * ofMade.height > MAX_PIXELS) return false;
  const first = await pixelsOf(made);
  const second = await pixelsOf(given);
  return first.every((value, index) => Math.abs(value - (second[index] ?? 0)) <= ROUNDING);
}

/** Three channels of 8 bits. */
async function pixelsOf(picture: Sharp): Promise<Uint8Array> {
  return picture.toColourspace('srgb').removeAlpha().raw().toBuffer();
}
