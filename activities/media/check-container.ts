import type { FileWindow } from './file-window.js';
import { MediaFaultError } from './media-verdict.js';
import { checkOggPages } from './check-ogg-pages.js';

const ISO_HEADER_BYTES = 16;
const EBML_HEADER_BYTES = 12;
const EBML_HEAD = '1a45dfa3';
/** The header, the Segment with everything in it, and what may stand beside it: Void, CRC-32. */
const EBML_TOP_LEVEL = [EBML_HEAD, '18538067', 'ec', 'bf'];
/** All that stand at the top of MP4 and MOV files (ISO/IEC 14496-12, table 1; QuickTime File Format). */
const ISO_TOP_LEVEL = [
  ...['ftyp', 'moov', 'mdat', 'free', 'skip', 'wide', 'uuid', 'meta', 'pdin', 'styp', 'sidx', 'ssix', 'moof', 'mfra'],
  ...['prft', 'emsg', 'pnot', 'udta'],
];
const RIFF_HEADER_BYTES = 8;
/** What a WAV has for its length when it was written into a pipe. */
const RIFF_UNKNOWN = 0xffffffff;

/**
 * Looks whether a container ends where it says that it does. Demuxers do not: mediabunny 1.61 reads an MP4 with its
 * index at the front, of which half is missing, without complaint (measured). Throws `MediaFaultError`.
 */
export async function checkContainer(file: FileWindow): Promise<void> {
  const head = await file.read(0, ISO_HEADER_BYTES);
  if (head.toString('latin1', 4, 8) === 'ftyp') return checkIsoBoxes(file);
  if (head.toString('hex', 0, 4) === EBML_HEAD) return checkEbml(file);
  if (head.toString('latin1', 0, 4) === 'RIFF') return checkRiff(file);
  if (head.toString('latin1', 0, 4) === 'OggS') return checkOggPages(file);
}

/** MP4 and MOV: boxes of 4 bytes length, 4 bytes type (ISO/IEC 14496-12, 4.2). */
async function checkIsoBoxes(file: FileWindow): Promise<void> {
  const types = new Set<string>();
  for (let offset = 0; offset < file.bytes;) {
    const header = await file.read(offset, ISO_HEADER_BYTES);
    const type = header.toString('latin1', 4, 8);
    if (!ISO_TOP_LEVEL.includes(type)) {
      throw new MediaFaultError(
        types.has('moov') ? 'trailing_bytes' : 'undecodable',
        `no box begins at byte ${offset}`,
      );
    }
    types.add(type);
    const bytes = isoBoxBytes(header, file.bytes - offset);
    if (offset + bytes > file.bytes) {
      throw new MediaFaultError('truncated', `box ${type} ends at byte ${offset + bytes}, the file at ${file.bytes}`);
    }
    offset += bytes;
  }
  if (!types.has('moov')) throw new MediaFaultError('truncated', 'it has no moov box: it was not written to its end');
}

function isoBoxBytes(header: Buffer, rest: number): number {
  const bytes = header.readUInt32BE(0);
  if (bytes === 0) return rest; // to the end of the file
  if (bytes !== 1) return Math.max(bytes, 8);
  if (header.length < ISO_HEADER_BYTES) return ISO_HEADER_BYTES;
  return Math.max(Number(header.readBigUInt64BE(8)), ISO_HEADER_BYTES);
}

/** WebM and Matroska: elements of id and length, both of variable size (RFC 8794, 4 and 5). */
async function checkEbml(file: FileWindow): Promise<void> {
  for (let offset = 0; offset < file.bytes;) {
    const header = await file.read(offset, EBML_HEADER_BYTES);
    const id = header.subarray(0, vintBytes(header));
    if (!EBML_TOP_LEVEL.includes(id.toString('hex'))) {
      throw new MediaFaultError('trailing_bytes', `no element begins at byte ${offset}`);
    }
    const size = header.subarray(id.length, id.length + vintBytes(header.subarray(id.length)));
    if (size.length === 0) throw new MediaFaultError('truncated', `the element at byte ${offset} has no length`);
    const length = lengthIn(size);
    if (length === null) return; // written into a pipe: its clusters are all there is to go by
    const end = offset + id.length + size.length + length;
    if (end > file.bytes) throw new MediaFaultError('truncated', `it ends at byte ${file.bytes} instead of ${end}`);
    offset = end;
  }
}

/** As many bytes as the first one has leading zero bits, and one; 0 where nothing is left to read. */
function vintBytes(bytes: Buffer): number {
  const first = bytes[0] ?? 0;
  return first === 0 ? 0 : Math.clz32(first) - 23;
}

/** Without the bit that marks how many bytes there are; all bits set is a length that was not known, `null`. */
function lengthIn(size: Buffer): number | null {
  const most = 2 ** (8 - size.length) - 1;
  let value = (size[0] ?? 0) & most;
  let isUnknown = value === most;
  for (const byte of size.subarray(1)) {
    value = value * 256 + byte;
    isUnknown &&= byte === 0xff;
  }
  return isUnknown ? null : value;
}

async function checkRiff(file: FileWindow): Promise<void> {
  const header = await file.read(0, RIFF_HEADER_BYTES);
  const announced = header.length < RIFF_HEADER_BYTES ? 0 : header.readUInt32LE(4);
  if (announced === RIFF_UNKNOWN) return;
  const bytes = RIFF_HEADER_BYTES + announced;
  if (bytes > file.bytes) throw new MediaFaultError('truncated', `it has ${file.bytes} of ${bytes} bytes`);
  // Chunks have an even length; not every writer counts the byte that fills up the last one.
  if (file.bytes > bytes + 1)
    throw new MediaFaultError('trailing_bytes', `it has ${file.bytes} instead of ${bytes} bytes`);
}
