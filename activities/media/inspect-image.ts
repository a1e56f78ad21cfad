import sharp from 'sharp';
import type { Sharp } from 'sharp';
import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import { inspectImageSignature } from '../../workflows/domain/media-signature.js';
import { withFileWindow } from './file-window.js';
import { isNoise } from './is-noise.js';
import { inspectPngChunks } from './inspect-png-chunks.js';
import { MediaFaultError, invalid } from './media-verdict.js';
import type { AnimationFacts, MediaVerdict } from './media-verdict.js';
import { durationFault, sizeFault } from './expectation-faults.js';

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
export async function inspectImage(path: string, expected: ExpectedOutputs): Promise<MediaVerdict> {
  const signature = inspectImageSignature(...(await edgesOf(path)));
  if (!signature.ok) return invalid(signature.fault, `${path.split('/').at(-1) ?? ''} is no whole image`);
  try {
    const { mediaType, extension } = signature;
    const first = sharp(path, { failOn: 'warning', limitInputPixels: MAX_PIXELS, animated: false });
    const { width, height, pages, delay, depth } = await first.metadata();
    const animation = mediaType === 'image/png' ? await inspectPngChunks(path) : animationOf(pages, delay);
    const facts = { widthPx: width, heightPx: height, ...animation };
    const fault = sizeFault(facts, expected) ?? animationFault(facts, expected);
    if (fault !== null) return fault;
    const frames = sharp(path, { failOn: 'warning', limitInputPixels: MAX_ANIMATION_PIXELS, animated: true });
    const fitsInMemory = depth === 'uchar' && width * height * (pages ?? 1) <= MAX_PIXELS_IN_MEMORY;
    const isFlat = await (fitsInMemory ? decodesFlat(frames) : streamsFlat(frames));
    if (isFlat && expected.flatImages === 'fail') return invalid('flat', 'every pixel has the same colour');
    if (expected.noisyImages === 'fail' && (await isNoise(path, { widthPx: width, heightPx: height }))) {
      return invalid('noise', 'it shows nothing but noise');
    }
    return { ok: true, ...{ mediaType, extension }, ...facts, isFlat };
  } catch (error) {
    if (error instanceof MediaFaultError) return invalid(error.fault, error.message);
    const detail = error instanceof Error ? error.message : String(error);
    return invalid(/pixel limit/i.test(detail) ? 'too_many_pixels' : 'undecodable', detail);
  }
}

/** A WebP or a GIF says how many pictures it has, and for how many milliseconds each is shown. */
function animationOf(pages = 1, delayMs: readonly number[] = []): AnimationFacts {
  if (pages === 1) return { frames: null, durationSeconds: null };
  return { frames: pages, durationSeconds: delayMs.reduce((sum, each) => sum + each, 0) / 1000 };
}

/**
 * A still where an animation was asked, or the reverse, or one that ends too early. Fewer pictures are no fault: writers
 * of WebP put equal ones together, and show them longer.
 */
function animationFault({ frames, durationSeconds }: AnimationFacts, expected: ExpectedOutputs): MediaVerdict | null {
  const asked = expected.frames;
  if (asked !== null && ((frames ?? 1) > asked || (frames === null) !== (asked === 1))) {
    return invalid('wrong_frames', `it has ${frames ?? 1} pictures, asked were ${asked}`);
  }
  return durationSeconds === null ? null : durationFault(durationSeconds, expected);
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

async function edgesOf(path: string): Promise<[Uint8Array, Uint8Array]> {
  return withFileWindow(path, async (file) => [
    await file.read(0, EDGE_BYTES),
    await file.read(Math.max(0, file.bytes - EDGE_BYTES), EDGE_BYTES),
  ]);
}
