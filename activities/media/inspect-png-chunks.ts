import { inflateSync } from 'node:zlib';
import { withFileWindow } from './file-window.js';
import type { FileWindow } from './file-window.js';
import { MediaFaultError } from './media-verdict.js';
import type { AnimationFacts } from './media-verdict.js';

const SIGNATURE_BYTES = 8;
const HEADER_BYTES = 8;
const CHECKSUM_BYTES = 4;
/** Compressed texts of a whole workflow have some hundred kilobytes; a bomb has gigabytes. */
const MAX_TEXT_BYTES = 16 * 1024 ** 2;
const MAX_COMPRESSED_BYTES = 4 * 1024 ** 2;
/** A picture of 10 000 × 10 000 in pieces of 8 kB has fewer. */
const MAX_CHUNKS = 100_000;

/**
 * Walks the chunks of a PNG, as far as the decoder does not: whether it moves, which libvips does not see, and whether a
 * text in it would fill the memory of whoever reads it, which libvips passes over (W3C PNG, third edition, 11.3.3).
 */
export async function inspectPngChunks(path: string): Promise<AnimationFacts> {
  return withFileWindow(path, async (file) => {
    let animation: { frames: number; seconds: number } | null = null;
    let offset = SIGNATURE_BYTES;
    for (let chunk = 0; chunk < MAX_CHUNKS && offset < file.bytes; chunk += 1) {
      const header = await file.read(offset, HEADER_BYTES);
      if (header.length < HEADER_BYTES) break;
      const [bytes, type] = [header.readUInt32BE(0), header.toString('latin1', 4)];
      const at = offset + HEADER_BYTES;
      if (type === 'acTL') animation = { frames: (await file.read(at, 4)).readUInt32BE(0), seconds: 0 };
      if (type === 'fcTL' && animation !== null) animation.seconds += delayIn(await file.read(at, 24));
      if (type === 'zTXt' || type === 'iTXt') await refuseBomb(file, type, { at, bytes });
      offset = at + bytes + CHECKSUM_BYTES;
    }
    if (animation === null || animation.frames === 1) return { frames: null, durationSeconds: null };
    return { frames: animation.frames, durationSeconds: animation.seconds };
  });
}

/** Numerator and denominator; 0 stands for hundredths. */
function delayIn(frameControl: Buffer): number {
  return frameControl.readUInt16BE(20) / (frameControl.readUInt16BE(22) || 100);
}

async function refuseBomb(
  file: FileWindow,
  type: 'zTXt' | 'iTXt',
  { at, bytes }: { readonly at: number; readonly bytes: number },
): Promise<void> {
  const data = await file.read(at, Math.min(bytes, MAX_COMPRESSED_BYTES));
  const keywordEnd = data.indexOf(0);
  const isCompressed = type === 'zTXt' || data[keywordEnd + 1] === 1;
  if (keywordEnd < 0 || !isCompressed) return;
  const start = type === 'zTXt' ? keywordEnd + 2 : data.indexOf(0, data.indexOf(0, keywordEnd + 3) + 1) + 1;
  if (bytes <= MAX_COMPRESSED_BYTES && fits(data.subarray(start))) return;
  throw new MediaFaultError('hidden_bomb', `a compressed text in it has more than ${MAX_TEXT_BYTES} bytes`);
}

function fits(compressed: Buffer): boolean {
  try {
    inflateSync(compressed, { maxOutputLength: MAX_TEXT_BYTES });
    return true;
  } catch (error) {
    // Text that cannot be read harms nobody; the pixels are judged by the decoder.
    return !(typeof error === 'object' && error !== null && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE');
  }
}
