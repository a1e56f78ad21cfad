/** A part of a file, or what is wrong with the header that asks for it. */
export type ByteRange =
  | { readonly kind: 'all' }
  | { readonly kind: 'part'; readonly offset: number; readonly length: number }
  | { readonly kind: 'unsatisfiable' };

/** Reads a `Range` header (RFC 9110, section 14). Several ranges or another unit are answered with the whole file. */
export function byteRangeFrom(header: string | undefined, bytes: number): ByteRange {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (match === null || (first === '' && last === '')) return { kind: 'all' };
  if (first === '') return partOf(Math.max(0, bytes - Number(last)), bytes - 1, bytes);
  if (last !== '' && Number(last) < Number(first)) return { kind: 'all' }; // invalid, to be ignored
  return partOf(Number(first), last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1), bytes);
}

function partOf(first: number, last: number, bytes: number): ByteRange {
  if (first >= bytes || last < first) return { kind: 'unsatisfiable' };
  return { kind: 'part', offset: first, length: last - first + 1 };
}
