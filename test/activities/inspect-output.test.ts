import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { inspectOutput } from '../../activities/media/inspect-output.js';
import type { ExpectedOutputs, OutputKind } from '../../workflows/contracts/generation.js';
import { buildExpectedOutputs } from '../support/expected-outputs.js';
import { pixelBomb, pngChunk } from '../support/png-bombs.js';
import { createRandom } from '../support/random.js';

const folder = mkdtempSync(join(tmpdir(), 'inspect-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const [widthPx, heightPx] = [64, 48];

function buildExpected(facts: Partial<ExpectedOutputs> = {}): ExpectedOutputs {
  return buildExpectedOutputs({ widthPx, heightPx, count: 1, flatImages: 'fail', ...facts });
}

/** Different colours everywhere; with more than one frame an animation. */
function noise(frames = 1): ReturnType<typeof sharp> {
  const raw = { width: widthPx, height: frames * heightPx, pageHeight: heightPx, channels: 3 as const };
  const bytes = { length: raw.width * raw.height * raw.channels };
  return sharp(
    Uint8Array.from(bytes, (_, index) => (index * index * 31 + index * 7) % 251),
    { raw },
  );
}

function flat(): ReturnType<typeof sharp> {
  return sharp({ create: { width: widthPx, height: heightPx, channels: 3, background: '#336699' } });
}

let files = 0;

async function inspected(
  bytes: Uint8Array,
  expected = buildExpected(),
  { kind = 'image', extension = 'png' }: { readonly kind?: OutputKind; readonly extension?: string } = {},
) {
  files += 1;
  const path = join(folder, `${files}.png`);
  writeFileSync(path, bytes);
  const file = { filename: `${files}.${extension}`, subfolder: '', type: 'output' };
  const reference = { nodeId: '9', kind, file, textIndex: 0 };
  return inspectOutput({ path, reference, expected, ffmpegPath: null, signal: new AbortController().signal });
}

describe('R3.2 Pictures', () => {
  let png: Buffer;
  beforeAll(async () => {
    png = await noise().png().toBuffer();
  });

  test('a whole PNG passes with what was measured', async () => {
    expect(await inspected(png)).toEqual({
      ...{ ok: true, mediaType: 'image/png', extension: 'png' },
      ...{ widthPx, heightPx, frames: null, durationSeconds: null, isFlat: false },
    });
  });

  test.each([1, 12, 200])('a PNG that lacks its last %i bytes is truncated', async (missing) => {
    expect(await inspected(png.subarray(0, -missing))).toMatchObject({ ok: false, fault: 'truncated' });
  });

  test('half a PNG is truncated', async () => {
    expect(await inspected(png.subarray(0, png.length / 2))).toMatchObject({ ok: false, fault: 'truncated' });
  });

  test('a PNG whose middle is missing cannot be decoded', async () => {
    const bytes = Buffer.concat([png.subarray(0, png.length / 2), png.subarray(-12)]);
    expect(await inspected(bytes)).toMatchObject({ ok: false, fault: 'undecodable' });
  });

  test('one flipped bit in the pixels is noticed', async () => {
    const bytes = Buffer.from(png);
    const at = bytes.indexOf('IDAT') + 200;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    expect(await inspected(bytes)).toMatchObject({ ok: false, fault: 'undecodable' });
  });

  test('bytes after the end are noticed', async () => {
    expect(await inspected(Buffer.concat([png, Buffer.from('x')]))).toMatchObject({ fault: 'trailing_bytes' });
  });

  test.each([
    ['an HTML page', '<!DOCTYPE html><html></html>', 'unknown_signature'],
    ['an SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"/>', 'unknown_signature'],
    ['no bytes', '', 'empty'],
  ])('%s under the name of a PNG is no picture', async (_what, text, fault) => {
    expect(await inspected(Buffer.from(text))).toMatchObject({ ok: false, fault });
  });

  test.each(['jpeg', 'webp', 'gif'] as const)('a %s is one under its own name only', async (format) => {
    const bytes = await noise().toFormat(format).toBuffer();
    expect(await inspected(bytes, buildExpected(), { extension: format })).toMatchObject({
      ...{ ok: true, mediaType: `image/${format}`, widthPx, heightPx },
      extension: format === 'jpeg' ? 'jpg' : format,
    });
    expect(await inspected(bytes)).toMatchObject({
      ...{ ok: false, fault: 'wrong_type', detail: `it is image/${format}, under the name of a .png` },
    });
  });

  test.each([
    ['zTXt', (text: Buffer) => Buffer.concat([Buffer.from('workflow\0\0', 'latin1'), text])],
    ['iTXt', (text: Buffer) => Buffer.concat([Buffer.from('workflow\0\x01\0en\0w\0', 'latin1'), text])],
  ] as const)(
    'a text in a %s that would fill the memory of its reader is refused, a usual one is not',
    async (type, of) => {
      const withText = (bytes: number) => {
        const text = deflateSync(Buffer.alloc(bytes));
        return Buffer.concat([png.subarray(0, 33), pngChunk(type, of(text)), png.subarray(33)]);
      };
      expect(await inspected(withText(500_000))).toMatchObject({ ok: true });
      expect(await inspected(withText(200_000_000))).toMatchObject({ ok: false, fault: 'hidden_bomb' });
    },
  );

  test.each([
    ['jpeg', 'undecodable'],
    ['webp', 'undecodable'],
    ['gif', 'truncated'],
  ] as const)('half a %s is %s', async (format, fault) => {
    const bytes = await noise().toFormat(format).toBuffer();
    expect(await inspected(bytes.subarray(0, bytes.length / 2))).toMatchObject({ ok: false, fault });
  });

  test.each([
    ['webp', 'undecodable'],
    ['gif', 'truncated'],
  ] as const)('an animated %s with half of its frames is %s', async (format, fault) => {
    const animation = await noise(6).toFormat(format).toBuffer();
    expect(await inspected(animation, buildExpected(), { extension: format })).toMatchObject({
      ok: true,
      widthPx,
      heightPx,
    });
    expect(
      await inspected(animation.subarray(0, animation.length / 2), buildExpected(), { extension: format }),
    ).toMatchObject({ ok: false, fault });
  });

  test('damage in the last frame of an animation is noticed', async () => {
    const animation = await noise(6).webp({ lossless: true }).toBuffer();
    animation.fill(0xff, animation.length - 400, animation.length - 100);
    expect(await inspected(animation)).toMatchObject({ ok: false, fault: 'undecodable' });
  });

  test('a wrong size is told with both sizes', async () => {
    const verdict = await inspected(png, buildExpected({ widthPx: 128 }));
    expect(verdict).toMatchObject({ ok: false, fault: 'wrong_size', detail: 'it is 64×48, asked were 128×48' });
    expect(await inspected(png, buildExpected({ heightPx: 47 }))).toMatchObject({ fault: 'wrong_size' });
  });

  test('a size that was left open fits every picture', async () => {
    expect(await inspected(png, buildExpected({ widthPx: null, heightPx: null }))).toMatchObject({ ok: true });
  });

  test.each([
    ['allow', { ok: true, isFlat: true }],
    ['flag', { ok: true, isFlat: true }],
    ['fail', { ok: false, fault: 'flat' }],
  ] as const)('R4.4 a picture of one flat colour under the policy "%s"', async (flatImages, verdict) => {
    expect(await inspected(await flat().png().toBuffer(), buildExpected({ flatImages }))).toMatchObject(verdict);
    expect(await inspected(png, buildExpected({ flatImages }))).toMatchObject({ ok: true, isFlat: false });
  });

  describe('A8 nothing but noise', () => {
    const size = { width: 256, height: 256, channels: 3 as const };
    const drawn = (valueAt: (index: number) => number) =>
      sharp(
        Uint8Array.from({ length: size.width * size.height * size.channels }, (_, index) => valueAt(index)),
        { raw: size },
      );
    const random = createRandom(3);
    const random256 = drawn(() => random() * 256);
    const strict = buildExpected({ widthPx: null, heightPx: null, noisyImages: 'fail' });

    test('fails where that is asked', async () => {
      const bytes = await random256.clone().png().toBuffer();
      expect(await inspected(bytes, strict)).toMatchObject({ ok: false, fault: 'noise' });
      const { noisyImages: _, ...open } = strict;
      expect(await inspected(bytes, open)).toMatchObject({ ok: true });
    });

    test('is not what has every value as often, but beside its neighbours', async () => {
      const bytes = await drawn((index) => index / size.channels)
        .png()
        .toBuffer();
      expect(await inspected(bytes, strict)).toMatchObject({ ok: true });
    });

    test('is not what is noise in one colour alone', async () => {
      const bytes = await drawn((index) => (index % 3 === 0 ? random() * 256 : index / 3))
        .png()
        .toBuffer();
      expect(await inspected(bytes, strict)).toMatchObject({ ok: true });
    });
  });

  test.each([0, 1, 2, 3])(
    'R4.4 a picture that differs in one pixel of channel %i alone is not flat',
    async (channel) => {
      const pixels = Buffer.alloc(widthPx * heightPx * 4, 0x7f);
      pixels[pixels.length - 4 + channel] = 0x80;
      const raw = { width: widthPx, height: heightPx, channels: 4 as const };
      expect(await inspected(await sharp(pixels, { raw }).png().toBuffer())).toMatchObject({ ok: true, isFlat: false });
    },
  );

  test('R4.4 a picture of 16 bits a channel that differs only in the lower eight is not flat', async () => {
    const pixels = new Uint16Array(widthPx * heightPx * 3).fill(0x7f00);
    pixels[100] = 0x7f01;
    const raw = { width: widthPx, height: heightPx, channels: 3 as const };
    const bytes = await sharp(pixels, { raw }).toColourspace('rgb16').png().toBuffer();
    expect(bytes[24]).toBe(16); // bits a channel, by the PNG's own header
    expect(await inspected(bytes)).toMatchObject({ ok: true, isFlat: false });
  });

  test('R4.4 a picture too large to be held in memory is judged like any other', async () => {
    const size = { width: 4_200, height: 4_200, channels: 3 as const };
    const [open, wide] = [{ widthPx: null, heightPx: null }, sharp({ create: { ...size, background: '#336699' } })];
    const bytes = await wide.png({ compressionLevel: 1 }).toBuffer();
    expect(await inspected(bytes, buildExpected(open))).toMatchObject({ ok: false, fault: 'flat' });
    expect(await inspected(bytes.subarray(0, -12_000), buildExpected(open))).toMatchObject({ fault: 'truncated' });
  });

  test('R4.4 a flat picture of a few hundred bytes is not invalid for its size', async () => {
    const small = await flat().png().toBuffer();
    expect(small.length).toBeLessThan(1_024);
    expect(await inspected(small, buildExpected({ flatImages: 'allow' }))).toMatchObject({ ok: true });
  });

  test('a bomb of 20000 × 20000 is refused before it is decoded', async () => {
    const bytes = pixelBomb(20_000);
    expect(bytes.length).toBeLessThan(400_000);
    expect(await inspected(bytes, buildExpected({ widthPx: null, heightPx: null }))).toMatchObject({
      ok: false,
      fault: 'too_many_pixels',
    });
  });
});

describe('Animations', () => {
  test.each(['webp', 'gif'] as const)('a %s is told with its pictures and how long it takes', async (format) => {
    const delay = [400, 400, 400];
    const bytes = await (format === 'webp' ? noise(3).webp({ delay }) : noise(3).gif({ delay })).toBuffer();
    const facts = { widthPx, heightPx, frames: 3, durationSeconds: 1.2 };
    expect(await inspected(bytes, buildExpected(), { extension: format })).toMatchObject({ ok: true, ...facts });
    expect(
      await inspected(bytes, buildExpected({ frames: 3, durationSeconds: 1.2 }), { extension: format }),
    ).toMatchObject({ ok: true });
    expect(await inspected(bytes, buildExpected({ frames: 1 }), { extension: format })).toMatchObject({
      fault: 'wrong_frames',
    });
    expect(await inspected(bytes, buildExpected({ frames: 2 }), { extension: format })).toMatchObject({
      fault: 'wrong_frames',
    });
    expect(await inspected(bytes, buildExpected({ durationSeconds: 3 }), { extension: format })).toMatchObject({
      fault: 'wrong_duration',
    });
  });

  test('a still where an animation was asked is told, too', async () => {
    const still = await noise().png().toBuffer();
    expect(await inspected(still, buildExpected({ frames: 1 }))).toMatchObject({ ok: true });
    expect(await inspected(still, buildExpected({ frames: 12 }))).toMatchObject({ fault: 'wrong_frames' });
  });
});

describe('R3.2 Other outputs', () => {
  test('R2.6 a text is UTF-8 that is not empty', async () => {
    expect(await inspected(Buffer.from('Привет'), buildExpected(), { kind: 'text', extension: 'txt' })).toMatchObject({
      ...{ ok: true, mediaType: 'text/plain; charset=utf-8', extension: 'txt', widthPx: null, heightPx: null },
    });
    expect(
      await inspected(Buffer.from([0xff, 0xfe, 0x00]), buildExpected(), { kind: 'text', extension: 'txt' }),
    ).toMatchObject({
      fault: 'not_text',
    });
    expect(await inspected(Buffer.alloc(0), buildExpected(), { kind: 'text', extension: 'txt' })).toMatchObject({
      fault: 'empty',
    });
  });

  test('another kind than was asked is refused, whatever its bytes are', async () => {
    const verdict = await inspected(Buffer.from('text'), buildExpected({ kind: 'image' }), {
      kind: 'text',
      extension: 'txt',
    });
    expect(verdict).toMatchObject({ fault: 'wrong_kind', detail: 'it is of kind text, asked was image' });
  });

  test('a file that nobody here can open is delivered as bytes, under its own extension', async () => {
    const verdict = await inspected(Buffer.from('<svg onload="alert(1)"/>'), buildExpected(), {
      kind: 'file',
      extension: 'svg',
    });
    expect(verdict).toMatchObject({ ok: true, mediaType: 'application/octet-stream', extension: 'svg' });
    expect(await inspected(Buffer.alloc(0), buildExpected(), { kind: 'file', extension: 'svg' })).toMatchObject({
      fault: 'empty',
    });
  });

  test('a latent is whole when its header accounts for every byte', async () => {
    const tensors = { latent_tensor: { dtype: 'F32', shape: [1, 4, 2, 2], data_offsets: [0, 64] }, __metadata__: {} };
    const latent = latentOf(tensors, 64);
    expect(await inspected(latent, buildExpected(), { kind: 'latent', extension: 'latent' })).toMatchObject({
      ok: true,
      extension: 'latent',
    });
    const faults = await Promise.all(
      [latent.subarray(0, -1), latent.subarray(0, 20), latent.subarray(0, 5), Buffer.concat([latent, Buffer.from('x')])]
        .concat([latentOf({ weights: tensors.latent_tensor }, 64), Buffer.from('no latent at all'), Buffer.alloc(0)])
        .map(async (bytes) => inspected(bytes, buildExpected(), { kind: 'latent', extension: 'latent' })),
    );
    expect(faults.map((verdict) => (verdict.ok ? null : verdict.fault))).toEqual([
      ...['truncated', 'truncated', 'truncated', 'trailing_bytes', 'unknown_signature', 'unknown_signature', 'empty'],
    ]);
  });
});

function latentOf(tensors: Readonly<Record<string, unknown>>, dataBytes: number): Buffer {
  const header = Buffer.from(JSON.stringify(tensors));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(dataBytes)]);
}
