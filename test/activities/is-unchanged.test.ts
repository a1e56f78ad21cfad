import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import sharp from 'sharp';
import type { Sharp } from 'sharp';
import { isUnchanged } from '../../activities/media/is-unchanged.js';

const folder = mkdtempSync(join(tmpdir(), 'is-unchanged-'));
const [width, height] = [64, 48];
const raw = { width, height, channels: 3 as const };
/** Never above 250, so that adding stays within 8 bits. */
const pixels = Uint8Array.from({ length: width * height * 3 }, (_, index) => (index * index * 31 + index * 7) % 251);
let original: Buffer;

beforeAll(async () => {
  original = await sharp(pixels, { raw }).png().toBuffer();
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const shifted = (by: number, from: number): Uint8Array =>
  pixels.map((value, index) => (index < from ? value : value + by));

async function saved(picture: Sharp): Promise<string> {
  const path = join(folder, 'made.png');
  await picture.toFile(path);
  return path;
}

test.each<[string, boolean, () => Sharp]>([
  ['the same pixels', true, () => sharp(pixels, { raw })],
  ['saved with another compression', true, () => sharp(pixels, { raw }).png({ compressionLevel: 0 })],
  ['with transparency that nothing uses', true, () => sharp(pixels, { raw }).ensureAlpha()],
  ['rounded on the way', true, () => sharp(shifted(2, 0), { raw })],
  ['changed in its last pixel', false, () => sharp(shifted(3, pixels.length - 1), { raw })],
  ['of another size', false, () => sharp(pixels, { raw }).resize(width * 2, height)],
  ['turned on its side', false, () => sharp(pixels, { raw }).rotate(90)],
])('R4.2 a picture %s is unchanged: %s', async (_, isSame, picture) => {
  expect(await isUnchanged(await saved(picture()), original)).toBe(isSame);
});

test('R4.2 the picture that was brought may be a WebP without loss, or grey', async () => {
  const path = await saved(sharp(pixels, { raw }));
  expect(await isUnchanged(path, await sharp(original).webp({ lossless: true }).toBuffer())).toBe(true);
  const grey = sharp(original).greyscale();
  const asColours = await saved(sharp(await grey.clone().png().toBuffer()).toColourspace('srgb'));
  expect(await isUnchanged(asColours, await grey.png().toBuffer())).toBe(true);
});
