import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TemplateError } from './template-error.js';
import type { Thumbnail } from './template.js';

/** All of them are kept in memory; a thumbnail is no picture. */
const MAX_THUMBNAIL_BYTES = 256 * 1024;

const FORMATS = [
  { file: 'thumbnail.webp', mediaType: 'image/webp', signature: /^RIFF.{4}WEBP/s },
  { file: 'thumbnail.png', mediaType: 'image/png', signature: /^\x89PNG\r\n/ },
] as const;

/** `thumbnail.webp` or `thumbnail.png` of a template's folder; `null` where there is neither. */
export async function thumbnailIn(folder: string): Promise<Thumbnail | null> {
  for (const { file, mediaType, signature } of FORMATS) {
    const bytes = await bytesOf(join(folder, file));
    if (bytes === null) continue;
    if (bytes.length > MAX_THUMBNAIL_BYTES) {
      throw new TemplateError(
        `${join(folder, file)}: has ${bytes.length} bytes; at most ${MAX_THUMBNAIL_BYTES} are kept`,
      );
    }
    if (!signature.test(bytes.subarray(0, 12).toString('latin1'))) {
      throw new TemplateError(`${join(folder, file)}: is not ${mediaType}`);
    }
    return { mediaType, bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
  }
  return null;
}

async function bytesOf(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    // Not by `instanceof`: an error of Node itself is of another realm inside Jest
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT') return null;
    throw new TemplateError(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
