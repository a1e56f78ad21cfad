/** Why a file cannot be delivered. */
export const MEDIA_FAULTS = [
  'missing',
  'bad_name',
  'transfer_failed',
  'empty',
  'truncated',
  'trailing_bytes',
  'unknown_signature',
  'undecodable',
  'wrong_kind',
  'wrong_type',
  'hidden_bomb',
  'too_small',
  'no_frames',
  'wrong_frames',
  'wrong_duration',
  'wrong_size',
  'no_sound',
  'too_many_pixels',
  'flat',
  'noise',
  'not_text',
  'wrong_count',
] as const;
export type MediaFault = (typeof MEDIA_FAULTS)[number];

export type ImageType = 'image/png' | 'image/jpeg' | 'image/webp' | 'image/gif';

export type SignatureVerdict =
  | { readonly ok: true; readonly mediaType: ImageType; readonly extension: string }
  | { readonly ok: false; readonly fault: MediaFault };

const PNG_HEAD = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** The IEND chunk with length and checksum: what a PNG that was written to its end ends with. */
const PNG_TAIL = [0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82];
const JPEG_HEAD = [0xff, 0xd8, 0xff];
const GIF_HEAD = [0x47, 0x49, 0x46, 0x38];
const GIF_TRAILER = 0x3b;
const RIFF_HEAD = [0x52, 0x49, 0x46, 0x46];
const WEBP_MARK = [0x57, 0x45, 0x42, 0x50];

/**
 * Judges the first and the last bytes alone, whatever the file is called. A decoder accepts a PNG without its end
 * (measured with sharp 0.35, even at its strictest), so the end is looked at here.
 */
export function inspectImageSignature(head: Uint8Array, tail: Uint8Array): SignatureVerdict {
  if (head.length === 0) return { ok: false, fault: 'empty' };
  if (startsWith(head, PNG_HEAD)) return png(tail);
  if (startsWith(head, JPEG_HEAD)) return { ok: true, mediaType: 'image/jpeg', extension: 'jpg' };
  if (startsWith(head, GIF_HEAD)) return gif(tail);
  if (startsWith(head, RIFF_HEAD) && startsWith(head.subarray(8), WEBP_MARK)) {
    return { ok: true, mediaType: 'image/webp', extension: 'webp' };
  }
  return { ok: false, fault: 'unknown_signature' };
}

function png(tail: Uint8Array): SignatureVerdict {
  if (startsWith(tail.subarray(-PNG_TAIL.length), PNG_TAIL))
    return { ok: true, mediaType: 'image/png', extension: 'png' };
  return { ok: false, fault: contains(tail, PNG_TAIL) ? 'trailing_bytes' : 'truncated' };
}

/** An animation that was cut decodes without complaint, to the frames that are left; only its end tells. */
function gif(tail: Uint8Array): SignatureVerdict {
  if (tail.at(-1) === GIF_TRAILER) return { ok: true, mediaType: 'image/gif', extension: 'gif' };
  return { ok: false, fault: 'truncated' };
}

function startsWith(bytes: Uint8Array, expected: readonly number[]): boolean {
  return bytes.length >= expected.length && expected.every((byte, index) => bytes[index] === byte);
}

function contains(bytes: Uint8Array, expected: readonly number[]): boolean {
  return bytes.some((_, index) => startsWith(bytes.subarray(index), expected));
}
