import { createHash } from 'node:crypto';
import sharp from 'sharp';
import type { Recipe } from './node-value.js';

export interface PictureSize {
  readonly widthPx: number;
  readonly heightPx: number;
}

/** Which picture of a batch, and which of a video. */
export interface PicturePlace {
  readonly index: number;
  /** From 0; absent for a still. */
  readonly frame?: number;
  readonly frameCount?: number;
}

/** Previews are resized to fit ComfyUI's --preview-size of 512; ours are drawn small to begin with. */
const PREVIEW_EDGE_PX = 256;

/** The picture of a recipe, deterministic in it and in its place in the batch: a gradient with the request written on it. */
export async function renderPicture(recipe: Recipe, size: PictureSize, place: PicturePlace): Promise<Buffer> {
  const svg = pictureSvg(recipe, size, place);
  return sharp(Buffer.from(svg)).removeAlpha().png({ compressionLevel: 3 }).toBuffer();
}

export async function renderPreview(recipe: Recipe, size: PictureSize): Promise<Buffer> {
  const scale = Math.min(1, PREVIEW_EDGE_PX / Math.max(size.widthPx, size.heightPx));
  const small = { widthPx: Math.ceil(size.widthPx * scale), heightPx: Math.ceil(size.heightPx * scale) };
  return sharp(Buffer.from(pictureSvg(recipe, small, { index: 0 })))
    .flatten()
    .jpeg({ quality: 60 })
    .toBuffer();
}

/** One flat colour, `0xRRGGBB` (EmptyImage). */
export async function renderFlat(size: PictureSize, color: number): Promise<Buffer> {
  const background = { r: (color >> 16) & 255, g: (color >> 8) & 255, b: color & 255 };
  return sharp({ create: { width: size.widthPx, height: size.heightPx, channels: 3, background } })
    .png()
    .toBuffer();
}

/** A given picture with lines written on it, and as one of a video its clock. */
export async function renderOver(drawn: {
  readonly picture: Buffer;
  readonly size: PictureSize;
  readonly lines: readonly string[];
  readonly place: PicturePlace;
}): Promise<Buffer> {
  const { picture, size, lines, place } = drawn;
  const fontPx = Math.max(6, Math.round(Math.min(size.widthPx, size.heightPx) / 18));
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${size.widthPx}" height="${size.heightPx}">
<rect width="100%" height="${fontPx * (1.3 * lines.length + 0.9)}" fill="#000" fill-opacity="0.45"/>
<g font-family="DejaVu Sans Mono, monospace" font-size="${fontPx}" fill="#fff">
${lines.map((line, row) => textSvg(line, fontPx * 0.8, fontPx * 1.3 * (row + 1) + fontPx * 0.3)).join('\n')}
</g>${clockSvg(size, place)}</svg>`;
  return sharp(picture)
    .resize(size.widthPx, size.heightPx, { fit: 'fill' })
    .composite([{ input: Buffer.from(svg) }])
    .removeAlpha()
    .png({ compressionLevel: 3 })
    .toBuffer();
}

/** What stands for a picture, latent or recipe when the next recipe is built on it. */
export function hashOf(value: unknown): string {
  const bytes = Buffer.isBuffer(value) ? value : JSON.stringify(value);
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

function pictureSvg(recipe: Recipe, { widthPx, heightPx }: PictureSize, place: PicturePlace): string {
  const { index } = place;
  const hash = createHash('sha256')
    .update(JSON.stringify([recipe, index]))
    .digest();
  const hue = (position: number) => Math.round(((hash[position] ?? 0) / 255) * 360);
  const at = (position: number) => Math.round(((hash[position] ?? 0) / 255) * 100);
  const fontPx = Math.max(6, Math.round(Math.min(widthPx, heightPx) / 18));
  const lines = linesOf(recipe, place, Math.max(8, Math.floor((widthPx * 0.9) / (fontPx * 0.6))));
  const shown = lines.slice(0, Math.max(1, Math.floor((heightPx * 0.94) / (fontPx * 1.3))));
  const text = shown.map((line, row) => textSvg(line, fontPx * 0.8, fontPx * 1.3 * (row + 1) + fontPx * 0.3));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${widthPx}" height="${heightPx}">
<defs><linearGradient id="g" x1="${at(3)}%" y1="0%" x2="${100 - at(3)}%" y2="100%">
<stop offset="0%" stop-color="hsl(${hue(0)},75%,45%)"/><stop offset="${at(4)}%" stop-color="hsl(${hue(2)},85%,55%)"/>
<stop offset="100%" stop-color="hsl(${hue(1)},75%,35%)"/></linearGradient></defs>
<rect width="100%" height="100%" fill="url(#g)"/>
<rect width="100%" height="${fontPx * (1.3 * shown.length + 0.9)}" fill="#000" fill-opacity="0.45"/>
<g font-family="DejaVu Sans Mono, monospace" font-size="${fontPx}" fill="#fff">
${text.join('\n')}
</g>${clockSvg({ widthPx, heightPx }, place)}</svg>`;
}

/** A video shows how much of it is over. */
function clockSvg({ widthPx, heightPx }: PictureSize, { frame, frameCount = 1 }: PicturePlace): string {
  if (frame === undefined) return '';
  const edgePx = Math.max(2, Math.round(heightPx / 24));
  const donePx = Math.round((widthPx * (frame + 1)) / frameCount);
  return `<rect y="${heightPx - edgePx}" width="${donePx}" height="${edgePx}" fill="#fff"/>`;
}

function linesOf(recipe: Recipe, { index, frame, frameCount }: PicturePlace, columns: number): string[] {
  const lines = [
    'SIMULATOR',
    `seed ${recipe.seed} #${index + 1}${frame === undefined ? '' : ` frame ${frame + 1}/${frameCount ?? 1}`}`,
    `steps ${recipe.stepsDone}/${recipe.steps} cfg ${recipe.cfg}${recipe.denoise === 1 ? '' : ` denoise ${recipe.denoise}`}`,
    `${recipe.samplerName} ${recipe.scheduler}`,
    recipe.promptText,
  ];
  return lines.flatMap((line) => wrapped(line, columns));
}

function textSvg(line: string, x: number, y: number): string {
  return `<text x="${x}" y="${y}" xml:space="preserve">${escapeXml(line)}</text>`;
}

/** Breaks at spaces, and inside words longer than a line. */
function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).flatMap((each) => chunks(each, columns))) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return line === '' ? lines : [...lines, line];
}

function chunks(word: string, columns: number): string[] {
  const characters = [...word];
  const count = Math.ceil(characters.length / columns);
  return Array.from({ length: count }, (_, index) => characters.slice(index * columns, (index + 1) * columns).join(''));
}

/** Control characters are not XML at all, not even escaped. */
function escapeXml(text: string): string {
  return text

    .replaceAll(/[\u0000-\u001f\ufffe\uffff]/g, ' ')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;');
}
