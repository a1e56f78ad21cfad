import { open } from 'node:fs/promises';
import sharp from 'sharp';
import type { Sharp } from 'sharp';
import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import { inspectImageSignature } from '../../workflows/domain/media-signature.js';
import type { MediaFault } from '../../workflows/domain/media-signature.js';

export type ImageVerdict =
  | {
      readonly ok: true;
      readonly mediaType: string;
      readonly extension: string;
      readonly widthPx: number;
      readonly heightPx: number;
      readonly isFlat: boolean;
    }
  | { readonly ok: false; readonly fault: MediaFault; readonly detail: string };

/** 10 000 × 10 000; ComfyUI's own nodes stop at 16384 a side, and a 20000² bomb has 389 kB on disk. */
const MAX_PIXELS = 100_000_000;
/** All frames together: a minute of 1024 × 1024 at 25 frames a second has three quarters of it. */
const MAX_ANIMATION_PIXELS = 20 * MAX_PIXELS;
/** Pictures up to this size are decoded into memory, at most 64 MiB; larger ones are streamed through statistics. */
const MAX_PIXELS_IN_MEMORY = 4_096 * 4_096;
const EDGE_BYTES = 4_096;

// Only what ComfyUI writes: libvips would also run SVG, PDF and what else it was built with.
sharp.block({ operation: ['VipsForeignLoad'] });
const LOADERS = ['Png', 'Jpeg', 'Webp', 'Nsgif'];
sharp.unblock({ operation: LOADERS.flatMap((name) => [`VipsForeignLoad${name}File`, `VipsForeignLoad${name}Buffer`]) });
// One decode uses one core; the semaphore of validateOutputs decides how many run at once. Pictures are seen once.
sharp.concurrency(1);
sharp.cache(false);

/** Decodes every pixel of a file and compares it with what was asked. Never trusts a name or a header. */
export async function inspectImage(path: string, expected: ExpectedOutputs): Promise<ImageVerdict> {
  const signature = inspectImageSignature(...(await edgesOf(path)));
  if (!signature.ok)
    return { ok: false, fault: signature.fault, detail: `${path.split('/').at(-1) ?? ''} is no whole image` };
  try {
    const { mediaType, extension } = signature;
    const first = sharp(path, { failOn: 'warning', limitInputPixels: MAX_PIXELS, animated: false });
    const { width, height, pages = 1, depth } = await first.metadata();
    const fault = sizeFault({ width, height }, expected);
    if (fault !== null) return { ok: false, fault: 'wrong_size', detail: fault };
    const frames = sharp(path, { failOn: 'warning', limitInputPixels: MAX_ANIMATION_PIXELS, animated: true });
    const fitsInMemory = depth === 'uchar' && width * height * pages <= MAX_PIXELS_IN_MEMORY;
    const isFlat = await (fitsInMemory ? decodesFlat(frames) : streamsFlat(frames));
    if (isFlat && expected.flatImages === 'fail') {
      return { ok: false, fault: 'flat', detail: 'every pixel has the same colour' };
    }
    return {
      ok: true,
      mediaType,
      extension,
      widthPx: width,
      heightPx: height,
      isFlat,
    };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { ok: false, fault: /pixel limit/i.test(detail) ? 'too_many_pixels' : 'undecodable', detail };
  }
}

/** Decodes it all, of an animation every frame: 5 ms for 512×512 pixels, where statistics of them take 45. */
async function decodesFlat(frames: Sharp): Promise<boolean> {
  const { data, info } = await frames.raw().toBuffer({ resolveWithObject: true });
  for (let index = info.channels; index < data.length; index += 1) {
    if (data[index] !== data[index - info.channels]) return false;
  }
  return true;
}

/** The same in little memory; also for 16 bits a channel, which decoding would cut to 8. */
async function streamsFlat(frames: Sharp): Promise<boolean> {
  const { channels } = await frames.stats();
  return channels.every(({ stdev }) => stdev === 0);
}

function sizeFault(
  size: { readonly width: number; readonly height: number },
  expected: ExpectedOutputs,
): string | null {
  const { widthPx, heightPx } = expected;
  const fits = (widthPx ?? size.width) === size.width && (heightPx ?? size.height) === size.height;
  return fits ? null : `it is ${size.width}×${size.height}, asked were ${widthPx ?? 'any'}×${heightPx ?? 'any'}`;
}

async function edgesOf(path: string): Promise<[Uint8Array, Uint8Array]> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const head = Buffer.alloc(Math.min(EDGE_BYTES, size));
    const tail = Buffer.alloc(Math.min(EDGE_BYTES, size));
    await file.read(head, 0, head.length, 0);
    await file.read(tail, 0, tail.length, size - tail.length);
    return [head, tail];
  } finally {
    await file.close();
  }
}
