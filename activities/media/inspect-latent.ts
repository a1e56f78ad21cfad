import type { FileWindow } from './file-window.js';
import { withFileWindow } from './file-window.js';
import { UNTIMED, invalid } from './media-verdict.js';
import type { MediaVerdict } from './media-verdict.js';

const LENGTH_BYTES = 8;
/** The library that writes them refuses more (safetensors, MAX_HEADER_SIZE). */
const MAX_HEADER_BYTES = 100_000_000;

/** A latent is a safetensors file: eight bytes length, a JSON header with the place of each tensor, the tensors. */
export async function inspectLatent(path: string): Promise<MediaVerdict> {
  return withFileWindow(path, async (file) => {
    if (file.bytes === 0) return invalid('empty', 'it has no bytes');
    if (file.bytes <= LENGTH_BYTES) return invalid('truncated', 'it is shorter than the length of its header');
    const headerBytes = Number((await file.read(0, LENGTH_BYTES)).readBigUInt64LE(0));
    if (headerBytes > MAX_HEADER_BYTES) return invalid('unknown_signature', 'it does not begin as a latent does');
    const end = await endOf(file, headerBytes);
    if (end === null) return invalid('unknown_signature', 'its header holds no latent_tensor');
    if (end > file.bytes) return invalid('truncated', `it has ${file.bytes} of ${end} bytes`);
    if (end < file.bytes) return invalid('trailing_bytes', `it has ${file.bytes} instead of ${end} bytes`);
    return { ok: true, ...UNTIMED, mediaType: 'application/octet-stream', extension: 'latent' };
  });
}

/** The byte after the last tensor; `null` when the header is none of a latent. */
async function endOf(file: FileWindow, headerBytes: number): Promise<number | null> {
  if (LENGTH_BYTES + headerBytes > file.bytes) return LENGTH_BYTES + headerBytes;
  const tensors = parsed((await file.read(LENGTH_BYTES, headerBytes)).toString('utf8'));
  if (typeof tensors !== 'object' || tensors === null || !('latent_tensor' in tensors)) return null;
  const ends = Object.values(tensors).map((tensor: unknown) => {
    const offsets =
      typeof tensor === 'object' && tensor !== null && 'data_offsets' in tensor ? tensor.data_offsets : [];
    return Array.isArray(offsets) ? Number(offsets[1] ?? 0) : 0;
  });
  return LENGTH_BYTES + headerBytes + Math.max(...ends);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
