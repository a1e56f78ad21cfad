import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import type { Sharp } from 'sharp';
import type { MediaFault } from '../../../workflows/domain/media-signature.js';
import type { Spoil } from '../output-swapper.js';
import { pixelBomb, pngChunk } from '../png-bombs.js';
import { createRandom } from '../random.js';
import type { BadFile } from './bad-file.js';
import { SIZE } from './strict-templates.js';

/** Text that has so many bytes when it is unpacked. */
const BOMB_BYTES = 1_000_000_000;

/** A picture of noise, as large as asked. */
export async function noisePng(): Promise<Buffer> {
  return noise(1).png().toBuffer();
}

function noise(pages: number): Sharp {
  const random = createRandom(1);
  const pixels = Uint8Array.from({ length: SIZE.width * SIZE.height * 3 * pages }, () => random() * 255);
  const raw = { width: SIZE.width, height: SIZE.height * pages, channels: 3 as const };
  return sharp(pixels, { raw: pages === 1 ? raw : { ...raw, pageHeight: SIZE.height } });
}

async function flat(colour: string, size: { readonly width: number; readonly height: number } = SIZE): Promise<Buffer> {
  return sharp({ create: { ...size, channels: 3, background: colour } })
    .png()
    .toBuffer();
}

/** Pictures that arrive as they are sent, but are not what was asked. */
export async function badPictures(seeds: readonly number[]): Promise<readonly BadFile[]> {
  const png = await noisePng();
  return [...badEnds(png), ...strangers(), ...(await otherPictures(png)), ...damaged(png, seeds)];
}

function picture(name: string, faults: readonly MediaFault[], body: Spoil['body']): BadFile {
  return { name, faults, body, template: 'strict-picture' };
}

function badEnds(png: Buffer): readonly BadFile[] {
  return [
    picture('0 bytes', ['empty'], () => Buffer.alloc(0)),
    picture('the signature alone', ['truncated'], () => png.subarray(0, 8)),
    picture('the header alone', ['truncated'], () => png.subarray(0, 33)),
    ...[1, 12, 200].map((missing) =>
      picture(`${missing} bytes missing`, ['truncated'], () => png.subarray(0, -missing)),
    ),
    picture('half of it', ['truncated'], () => png.subarray(0, png.length / 2)),
    picture('bytes behind its end', ['trailing_bytes'], () => Buffer.concat([png, Buffer.from('junk')])),
    picture('a page behind its end', ['trailing_bytes'], () =>
      Buffer.concat([png, Buffer.from('<script>alert(1)</script>')]),
    ),
  ];
}

function strangers(): readonly BadFile[] {
  const said = (text: string) => () => Buffer.from(text);
  const svg = '<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>';
  return [
    picture('a page', ['unknown_signature'], said('<!DOCTYPE html><html><body>Bad gateway</body></html>')),
    picture('an error as JSON', ['unknown_signature'], said('{"error":"file not found"}')),
    picture('an SVG with a script', ['unknown_signature'], said(svg)),
  ];
}

async function otherPictures(png: Buffer): Promise<readonly BadFile[]> {
  const [jpeg, webp] = await Promise.all([noise(1).jpeg().toBuffer(), noise(2).webp().toBuffer()]);
  const [black, white, colour] = await Promise.all(['#000000', '#ffffff', '#336699'].map(async (each) => flat(each)));
  const dot = await flat('#336699', { width: 1, height: 1 });
  const large = await flat('#336699', { width: 128, height: 64 });
  const text = pngChunk('zTXt', Buffer.concat([Buffer.from('workflow\0\0', 'latin1'), packed(BOMB_BYTES)]));
  const textBomb = Buffer.concat([png.subarray(0, 33), text, png.subarray(33)]);
  return [
    { ...picture('a JPEG', ['wrong_type'], () => jpeg), isFineOnFal: true },
    picture('an animation', ['wrong_frames'], () => webp),
    { ...picture('20000 × 20000', ['too_many_pixels', 'wrong_size'], () => pixelBomb(20_000)), isBomb: true },
    { ...picture('a text of a gigabyte', ['hidden_bomb'], () => textBomb), isBomb: true },
    picture('1 × 1', ['wrong_size'], () => dot),
    picture('a wrong size', ['wrong_size'], () => large),
    picture('all black', ['flat'], () => black ?? png),
    picture('all white', ['flat'], () => white ?? png),
    picture('all of one colour', ['flat'], () => colour ?? png),
    { ...picture('nothing but noise', ['noise'], () => png), template: 'noiseless-picture' },
  ];
}

/** So many zeros, next to nothing when they are packed. */
function packed(bytes: number): Buffer {
  return deflateSync(Buffer.alloc(bytes), { level: 1 });
}

function damaged(png: Buffer, seeds: readonly number[]): readonly BadFile[] {
  return [
    ...seeds.map((seed) => {
      const at = Math.floor(createRandom(seed)() * (png.length - 1));
      return picture(`cut at byte ${at}`, ['truncated', 'empty', 'unknown_signature'], () => png.subarray(0, at));
    }),
    ...seeds.map((seed) => {
      const [start, end] = [png.indexOf('IDAT') + 4, png.length - 20];
      const at = start + Math.floor(createRandom(seed)() * (end - start));
      return picture(`a bit flipped at byte ${at}`, ['undecodable'], () => flipped(png, at));
    }),
  ];
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
