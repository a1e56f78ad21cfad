import sharp from 'sharp';

/** Of 8 bits: only values that are all equally frequent come so near to them. */
const MIN_ENTROPY_BITS = 7.9;
/** Of neighbours in any picture that shows something it is above 0.8; of noise it is 0. */
const MAX_CORRELATION = 0.2;
/** Noise is noise in every part of it. */
const MAX_SIDE_PX = 1_024;
const VALUES = 256;

/**
 * Whether a picture shows nothing but noise, as a sampling that went to NaN or was never denoised leaves it: in each of its
 * colours every value is as frequent as every other, and no pixel says anything of the next one. Entropy alone would
 * also find a good picture whose histogram was equalised. Looks at the middle of the first frame.
 */
export async function isNoise(path: string, size: { readonly widthPx: number; readonly heightPx: number }) {
  const width = Math.min(size.widthPx, MAX_SIDE_PX);
  const height = Math.min(size.heightPx, MAX_SIDE_PX);
  const left = Math.floor((size.widthPx - width) / 2);
  const top = Math.floor((size.heightPx - height) / 2);
  const middle = sharp(path, { animated: false }).extract({ left, top, width, height }).removeAlpha();
  const { data, info } = await middle.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  for (let channel = 0; channel < info.channels; channel += 1) {
    const values = valuesOf(data, channel, info.channels);
    if (entropyBitsOf(values) <= MIN_ENTROPY_BITS || correlationOf(values) >= MAX_CORRELATION) return false;
  }
  return true;
}

function valuesOf(pixels: Buffer, channel: number, channels: number): Uint8Array {
  return Uint8Array.from({ length: pixels.length / channels }, (_, index) => pixels[index * channels + channel] ?? 0);
}

function entropyBitsOf(values: Uint8Array): number {
  const counts = new Uint32Array(VALUES);
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts.reduce((bits, count) => {
    const share = count / values.length;
    return share === 0 ? bits : bits - share * Math.log2(share);
  }, 0);
}

/** Pearson's, of each pixel with the next one; that a line's last has the next line's first makes no difference. */
function correlationOf(values: Uint8Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let [together, alone, previous] = [0, 0, 0];
  for (const value of values) {
    const deviation = value - mean;
    together += deviation * previous;
    alone += deviation * deviation;
    previous = deviation;
  }
  return alone === 0 ? 1 : together / alone;
}
