import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import type { NodeContext, NodeRunner } from '../node-runner.js';
import { NodeError } from '../node-runner.js';
import type { ImageValue } from '../node-value.js';

/** Grey pictures, white where something is to be done. */
export const maskNodes: Readonly<Record<string, NodeRunner>> = {
  LoadImageMask: async (context) => ({ outputs: [await loadedMask(context)] }),
  ImageToMask: async ({ inputs }) => ({
    outputs: [await channelOf(inputs.image('image'), inputs.text('channel', 'red'))],
  }),
  MaskToImage: async ({ inputs }) => ({ outputs: [inputs.image('mask')] }),

  InvertMask: async ({ inputs }) => {
    const mask = inputs.image('mask');
    const frames = await Promise.all(
      mask.frames.map((frame) => sharp(frame).negate({ alpha: false }).png().toBuffer()),
    );
    return { outputs: [{ ...mask, frames }] };
  },

  GrowMask: async ({ inputs }) => {
    const mask = inputs.image('mask');
    const px = inputs.number('expand');
    if (px === 0) return { outputs: [mask] };
    const grown = (frame: Buffer) => (px > 0 ? sharp(frame).dilate(px) : sharp(frame).erode(-px)).png().toBuffer();
    return { outputs: [{ ...mask, frames: await Promise.all(mask.frames.map(grown)) }] };
  },

  ImagePadForOutpaint: async ({ inputs }) => {
    const image = inputs.image('image');
    const [left, top, right, bottom] = (['left', 'top', 'right', 'bottom'] as const).map((side) => inputs.number(side));
    const sides = { left: left ?? 0, top: top ?? 0, right: right ?? 0, bottom: bottom ?? 0 };
    return { outputs: [await padded(image, sides), await paddingMask(image, sides, inputs.number('feathering', 40))] };
  },
};

interface Sides {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** New parts are grey, as ComfyUI's. */
async function padded(image: ImageValue, sides: Sides): Promise<ImageValue> {
  const extend = (frame: Buffer) =>
    sharp(frame)
      .removeAlpha()
      .extend({ ...sides, background: '#7f7f7f' })
      .png()
      .toBuffer();
  return { ...image, ...sizeWith(image, sides), frames: await Promise.all(image.frames.map(extend)) };
}

async function paddingMask(image: ImageValue, ...[sides, feathering]: [Sides, number]): Promise<ImageValue> {
  const { widthPx, heightPx } = sizeWith(image, sides);
  const create = { width: image.widthPx, height: image.heightPx, channels: 3 as const, background: '#000000' };
  const hard = await sharp({ create })
    .extend({ ...sides, background: '#ffffff' })
    .png()
    .toBuffer();
  const frame =
    feathering > 1
      ? await sharp(hard)
          .blur(feathering / 2)
          .png()
          .toBuffer()
      : hard;
  return { kind: 'image', widthPx, heightPx, frames: [frame] };
}

function sizeWith({ widthPx, heightPx }: ImageValue, { left, top, right, bottom }: Sides) {
  return { widthPx: widthPx + left + right, heightPx: heightPx + top + bottom };
}

/** Alpha is turned round: what is transparent is to be painted (ComfyUI 0.8.0, nodes.py, LoadImageMask). */
async function loadedMask({ inputs, files }: NodeContext): Promise<ImageValue> {
  const name = inputs.text('image');
  const path = files.annotatedPath(name);
  if (path === null) throw new NodeError('FileNotFoundError', `[Errno 2] No such file or directory: '${name}'`);
  const { data, info } = await sharp(readFileSync(path)).rotate().png().toBuffer({ resolveWithObject: true });
  const image: ImageValue = { kind: 'image', widthPx: info.width, heightPx: info.height, frames: [data] };
  return channelOf(image, inputs.text('channel', 'alpha'));
}

async function channelOf(image: ImageValue, channel: string): Promise<ImageValue> {
  const frames = await Promise.all(image.frames.map((frame) => greyOf(frame, channel)));
  return { ...image, frames };
}

/** `red`, `green`, `blue` or `alpha`; a picture without transparency has an empty mask. */
async function greyOf(frame: Buffer, channel: string): Promise<Buffer> {
  const rgba = sharp(frame).ensureAlpha().toColourspace('srgb');
  const index = Math.max(0, ['red', 'green', 'blue', 'alpha'].indexOf(channel));
  const grey = await rgba
    .extractChannel(index as 0 | 1 | 2 | 3)
    .png()
    .toBuffer();
  return channel === 'alpha' ? sharp(grey).negate().png().toBuffer() : grey;
}
