/**
 * `Content-Disposition` (RFC 6266): the name in ASCII for old readers, and where that loses anything in UTF-8, too, which
 * all others take instead (RFC 8187).
 */
export function contentDisposition(kind: 'inline' | 'attachment', filename: string): string {
  // A `%` in the plain form is decoded by some readers and not by others.
  const ascii = filename.replace(/[^\x20-\x7e]|["\\%]/gu, '_');
  const plain = `${kind}; filename="${ascii}"`;
  if (ascii === filename) return plain;
  const encoded = encodeURIComponent(filename).replace(/['()*]/g, (character) => `%${hexOf(character)}`);
  return `${plain}; filename*=UTF-8''${encoded}`;
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16).toUpperCase();
}
