import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { CliError } from './cli-error.js';
import { makeWithFfmpeg } from './make-with-ffmpeg.js';
import type { RenderedFile } from './render-graph.js';

const EDGE_PX = 320;
/** Small enough that a page with all of them loads at once, and that they can be kept with the code. */
const MAX_BYTES = 30_000;
const QUALITIES = [75, 60, 45, 30, 15];

/** A small WebP of a picture, or of the most telling picture of a video. */
export async function thumbnailOf(file: RenderedFile): Promise<Buffer> {
  const picture = file.reference.kind === 'video' ? await pictureOf(file) : file.bytes;
  for (const quality of QUALITIES) {
    const small = sharp(picture).resize(EDGE_PX, EDGE_PX, { fit: 'inside', withoutEnlargement: true });
    const bytes = await small.webp({ quality }).toBuffer();
    if (bytes.length < MAX_BYTES) return bytes;
  }
  throw new CliError(`${file.filename}: no thumbnail of less than ${MAX_BYTES} bytes can be made`);
}

async function pictureOf({ filename, bytes }: RenderedFile): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'template-video-'));
  try {
    const path = join(folder, filename);
    await writeFile(path, bytes);
    return await makeWithFfmpeg({ args: ['-i', path, '-vf', 'thumbnail=24', '-frames:v', '1'], extension: 'png' });
  } finally {
    await rm(folder, { recursive: true });
  }
}
