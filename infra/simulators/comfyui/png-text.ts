import { crc32 } from 'node:zlib';

/** Length of signature and IHDR: text chunks go right behind, as PIL writes them. */
const HEADER_BYTES = 8 + 25;

/** Adds tEXt chunks to a PNG file: ComfyUI keeps the graph of a picture in `prompt`. */
export function withPngText(png: Buffer, texts: Readonly<Record<string, string>>): Buffer {
  const chunks = Object.entries(texts).map(([keyword, text]) => textChunk(keyword, text));
  return Buffer.concat([png.subarray(0, HEADER_BYTES), ...chunks, png.subarray(HEADER_BYTES)]);
}

function textChunk(keyword: string, text: string): Buffer {
  const body = Buffer.concat([
    Buffer.from('tEXt'),
    Buffer.from(`${keyword}\0`),
    Buffer.from(asciiJson(text), 'latin1'),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length - 4);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}

/** tEXt holds Latin-1 only; Python's json.dumps escapes everything beyond ASCII. */
function asciiJson(json: string): string {
  return json.replaceAll(/[^\0-~]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
