import sharp from 'sharp';
import type { LatentSource, LatentValue } from './node-value.js';
import { renderFlat, renderPicture } from './pictures.js';
import type { PicturePlace, PictureSize } from './pictures.js';

/** What a real model makes of an empty latent that nobody sampled: a brown surface. */
const UNSAMPLED = 0x7a6a5a;

/** One picture of a latent: the recipe's, with what it keeps of the picture that it began with. */
export async function latentPicture(latent: LatentValue, place: PicturePlace): Promise<Buffer> {
  const { recipe, source } = latent;
  if (recipe === null) return source === null ? renderFlat(latent, UNSAMPLED) : fitted(source.picture, latent);
  const painted = await renderPicture(recipe, latent, place);
  return source === null ? painted : withSource(painted, { source, denoise: recipe.denoise, size: latent });
}

/** With a mask all of the source stays where the mask is black; without one it shines through by as much as was not denoised. */
async function withSource(
  painted: Buffer,
  { source, denoise, size }: { readonly source: LatentSource; readonly denoise: number; readonly size: PictureSize },
): Promise<Buffer> {
  const picture = await fitted(source.picture, size);
  const kept = source.mask === null ? await evenly(1 - denoise, size) : await inverted(source.mask, size);
  const overlay = await sharp(picture).joinChannel(kept).png().toBuffer(); // removeAlpha would come last, whatever its place
  return sharp(painted)
    .composite([{ input: overlay }])
    .removeAlpha()
    .png({ compressionLevel: 3 })
    .toBuffer();
}

async function fitted(base64: string, { widthPx, heightPx }: PictureSize): Promise<Buffer> {
  return sharp(Buffer.from(base64, 'base64')).resize(widthPx, heightPx, { fit: 'fill' }).removeAlpha().png().toBuffer();
}

async function evenly(opacity: number, { widthPx, heightPx }: PictureSize): Promise<Buffer> {
  const grey = Math.round(opacity * 255);
  const background = { r: grey, g: grey, b: grey };
  return sharp({ create: { width: widthPx, height: heightPx, channels: 3, background } })
    .toColourspace('b-w')
    .png()
    .toBuffer();
}

async function inverted(mask: string, { widthPx, heightPx }: PictureSize): Promise<Buffer> {
  return sharp(Buffer.from(mask, 'base64'))
    .resize(widthPx, heightPx, { fit: 'fill' })
    .removeAlpha()
    .toColourspace('b-w')
    .negate()
    .png()
    .toBuffer();
}
