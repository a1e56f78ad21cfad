import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import type { Sharp } from 'sharp';
import type { NodeContext, NodeRunner } from '../node-runner.js';
import { NodeError } from '../node-runner.js';
import type { ImageValue } from '../node-value.js';
import { renderFlat } from '../pictures.js';

/** Sources and changes of pictures. */
export const imageNodes: Readonly<Record<string, NodeRunner>> = {
  EmptyImage: async ({ inputs }) => {
    const size = { widthPx: inputs.number('width'), heightPx: inputs.number('height') };
    const frame = await renderFlat(size, inputs.number('color'));
    const frames = Array.from({ length: inputs.number('batch_size', 1) }, () => frame);
    return { outputs: [{ kind: 'image', ...size, frames }] };
  },

  LoadImage: async (context) => {
    const image = await loaded(context);
    return { outputs: [image, await transparencyOf(image)] };
  },

  ImageBatch: async ({ inputs }) => {
    const [first, second] = [inputs.image('image1'), inputs.image('image2')];
    const { frames } = await resized(second, first, 'cover');
    return { outputs: [{ ...first, frames: [...first.frames, ...frames] }] };
  },

  RepeatImageBatch: async ({ inputs }) => {
    const image = inputs.image('image');
    const frames = Array.from({ length: inputs.number('amount', 1) }, () => image.frames).flat();
    return { outputs: [{ ...image, frames }] };
  },

  ImageInvert: async ({ inputs }) => ({
    outputs: [await changed(inputs.image('image'), (frame) => sharp(frame).negate({ alpha: false }))],
  }),

  ImageScale: async ({ inputs }) => {
    const image = inputs.image('image');
    const size = scaledSize(image, { widthPx: inputs.number('width'), heightPx: inputs.number('height') });
    return { outputs: [await resized(image, size, inputs.text('crop') === 'center' ? 'cover' : 'fill')] };
  },

  ImageScaleBy: async ({ inputs }) => {
    const image = inputs.image('image');
    return { outputs: [await resized(image, times(image, inputs.number('scale_by', 1)), 'fill')] };
  },

  ImageUpscaleWithModel: async ({ inputs }) => {
    const image = inputs.image('image');
    const factor = Number(/x(\d)|(\d)x/i.exec(inputs.modelName('upscale_model'))?.slice(1).find(Boolean) ?? 4);
    return { outputs: [await resized(image, times(image, factor), 'fill')] };
  },

  GetImageSize: async ({ inputs, sendText }) => {
    const { widthPx, heightPx, frames } = inputs.image('image');
    sendText(`width: ${widthPx}, height: ${heightPx}\n batch size: ${frames.length}`);
    return { outputs: [widthPx, heightPx, frames.length] };
  },
};

async function loaded({ inputs, files }: NodeContext): Promise<ImageValue> {
  const name = inputs.text('image');
  const path = files.annotatedPath(name);
  if (path === null) throw new NodeError('FileNotFoundError', `[Errno 2] No such file or directory: '${name}'`);
  try {
    const { data, info } = await sharp(readFileSync(path)).rotate().png().toBuffer({ resolveWithObject: true });
    return { kind: 'image', widthPx: info.width, heightPx: info.height, frames: [data] };
  } catch {
    throw new NodeError('PIL.UnidentifiedImageError', `cannot identify image file '${path}'`);
  }
}

/** White where the picture is transparent; a picture without transparency has an empty mask (ComfyUI 0.8.0, nodes.py). */
async function transparencyOf(image: ImageValue): Promise<ImageValue> {
  const [first = Buffer.alloc(0)] = image.frames;
  const { hasAlpha } = await sharp(first).metadata();
  if (!hasAlpha) {
    const edge = { widthPx: 64, heightPx: 64 };
    return { kind: 'image', ...edge, frames: [await renderFlat(edge, 0)] };
  }
  return { ...image, frames: [await sharp(first).extractChannel('alpha').negate().png().toBuffer()] };
}

interface Size {
  readonly widthPx: number;
  readonly heightPx: number;
}

/** An edge of 0 follows from the other one. */
function scaledSize(image: Size, wanted: Size): Size {
  if (wanted.widthPx === 0 && wanted.heightPx === 0) return image;
  const widthPx = wanted.widthPx || Math.max(1, Math.round((image.widthPx * wanted.heightPx) / image.heightPx));
  const heightPx = wanted.heightPx || Math.max(1, Math.round((image.heightPx * wanted.widthPx) / image.widthPx));
  return { widthPx, heightPx };
}

function times({ widthPx, heightPx }: Size, factor: number): Size {
  return { widthPx: Math.round(widthPx * factor), heightPx: Math.round(heightPx * factor) };
}

async function resized(image: ImageValue, size: Size, fit: 'cover' | 'fill'): Promise<ImageValue> {
  const frames = await changed(image, (frame) => sharp(frame).resize(size.widthPx, size.heightPx, { fit }));
  return { ...frames, widthPx: size.widthPx, heightPx: size.heightPx };
}

async function changed(image: ImageValue, change: (frame: Buffer) => Sharp): Promise<ImageValue> {
  const frames = await Promise.all(image.frames.map((frame) => change(frame).png().toBuffer()));
  return { ...image, frames };
}
