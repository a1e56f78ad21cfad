import type { FileWindow } from './file-window.js';
import { MediaFaultError } from './media-verdict.js';

const HEADER_BYTES = 27;
const MAX_PAGE_BYTES = HEADER_BYTES + 255 + 255 * 255;
const END_OF_STREAM = 0x04;
const CHECKSUM_OFFSET = 22;
/** CRC-32 of Ogg: this polynomial, not reflected, no initial and no final value (RFC 3533, 6). */
const POLYNOMIAL = 0x04c11db7;
const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index << 24;
  for (let bit = 0; bit < 8; bit += 1) value = value & 0x80000000 ? (value << 1) ^ POLYNOMIAL : value << 1;
  return value >>> 0;
});

/** Every page whole, with its checksum, and the last one marked as the last. Throws `MediaFaultError`. */
export async function checkOggPages(file: FileWindow): Promise<void> {
  let flags = 0;
  for (let offset = 0; offset < file.bytes;) {
    const page = await pageAt(file, offset);
    if (checksum(page) !== page.readUInt32LE(CHECKSUM_OFFSET)) {
      throw new MediaFaultError('undecodable', `the page at byte ${offset} has another checksum than it says`);
    }
    flags = page[5] ?? 0;
    offset += page.length;
  }
  if ((flags & END_OF_STREAM) === 0)
    throw new MediaFaultError('truncated', 'its last page is not the end of its stream');
}

async function pageAt(file: FileWindow, offset: number): Promise<Buffer> {
  const bytes = await file.read(offset, MAX_PAGE_BYTES);
  if (bytes.toString('latin1', 0, 4) !== 'OggS') {
    throw new MediaFaultError('trailing_bytes', `no page begins at byte ${offset}`);
  }
  const segments = bytes[26] ?? 0;
  const lengths = bytes.subarray(HEADER_BYTES, HEADER_BYTES + segments);
  const length = HEADER_BYTES + segments + lengths.reduce((sum, each) => sum + each, 0);
  if (bytes.length < length || lengths.length < segments) {
    throw new MediaFaultError('truncated', `the page at byte ${offset} is cut off`);
  }
  return bytes.subarray(0, length);
}

/** Its own four bytes count as zeros. */
function checksum(page: Buffer): number {
  let value = 0;
  page.forEach((byte, index) => {
    const counted = index >= CHECKSUM_OFFSET && index < CHECKSUM_OFFSET + 4 ? 0 : byte;
    value = ((value << 8) ^ (TABLE[((value >>> 24) ^ counted) & 0xff] ?? 0)) >>> 0;
  });
  return value;
}
