import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { isRecord } from '../comfyui/is-record.js';
import type { PictureSize } from '../comfyui/pictures.js';
import type { FalDetail } from './fal-request.js';

/** What a picture model makes of its input. */
export interface ModelInput {
  readonly prompt: string;
  readonly size: PictureSize;
  readonly count: number;
  readonly seed: number;
  readonly steps: number;
  readonly cfg: number;
  /** How much of a picture that was given is drawn anew. */
  readonly strength: number;
  readonly format: 'png' | 'jpeg';
  /** Hash of the picture that was given, empty for none. */
  readonly base: string;
}

/** The names that fal's picture models know. */
const SIZES: Readonly<Record<string, PictureSize>> = {
  square_hd: { widthPx: 1024, heightPx: 1024 },
  square: { widthPx: 512, heightPx: 512 },
  portrait_4_3: { widthPx: 768, heightPx: 1024 },
  portrait_16_9: { widthPx: 576, heightPx: 1024 },
  landscape_4_3: { widthPx: 1024, heightPx: 768 },
  landscape_16_9: { widthPx: 1024, heightPx: 576 },
};
const MAX_EDGE_PX = 14_142;
const EXPANSIONS = ['expand_left', 'expand_right', 'expand_top', 'expand_bottom'] as const;

/** The model refuses what it was sent; answered as 422. */
export class InputRefused extends Error {
  override readonly name = 'InputRefused';
  readonly detail: FalDetail;

  constructor(field: string, type: string, msg: string) {
    super(msg);
    this.detail = { loc: ['body', field], msg, type };
  }
}

/** Reads the input as a model would; throws `InputRefused`. */
export async function modelInputFrom(input: Readonly<Record<string, unknown>>): Promise<ModelInput> {
  const { prompt = '', seed, num_images: count = 1, output_format: format = 'png', image_url: imageUrl } = input;
  if (typeof prompt !== 'string') throw new InputRefused('prompt', 'string_type', 'Input should be a valid string');
  if (prompt === '' && imageUrl === undefined) throw new InputRefused('prompt', 'missing', 'Field required');
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 1 || count > 4) {
    throw new InputRefused('num_images', 'less_than_equal', 'Input should be less than or equal to 4');
  }
  if (format !== 'png' && format !== 'jpeg') {
    throw new InputRefused('output_format', 'literal_error', "Input should be 'jpeg' or 'png'");
  }
  const picture = imageUrl === undefined ? null : await givenPicture(imageUrl);
  return {
    prompt,
    count,
    format,
    seed: typeof seed === 'number' ? seed : createHash('sha256').update(prompt).digest().readUInt32BE(0),
    ...samplingOf(input),
    base: picture?.hash ?? '',
    size: picture === null ? sizeOf(input['image_size'] ?? 'landscape_4_3') : expanded(picture.size, input),
  };
}

/** What it does not take is not looked at: models differ in what they know. */
function samplingOf(input: Readonly<Record<string, unknown>>): Pick<ModelInput, 'steps' | 'cfg' | 'strength'> {
  const { num_inference_steps: steps, guidance_scale: cfg, strength } = input;
  const numberOr = (value: unknown, usual: number) => (typeof value === 'number' ? value : usual);
  return { steps: numberOr(steps, 28), cfg: numberOr(cfg, 3.5), strength: numberOr(strength, 1) };
}

function sizeOf(value: unknown): PictureSize {
  if (typeof value === 'string' && SIZES[value] !== undefined) return SIZES[value];
  if (isRecord(value) && isEdge(value['width']) && isEdge(value['height'])) {
    return { widthPx: value['width'], heightPx: value['height'] };
  }
  throw new InputRefused('image_size', 'enum', 'Input should be a known size, or an object with width and height');
}

function isEdge(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= MAX_EDGE_PX;
}

/** Only what came along as a data URI: the simulator fetches nothing. */
async function givenPicture(imageUrl: unknown): Promise<{ readonly size: PictureSize; readonly hash: string }> {
  const base64 = typeof imageUrl === 'string' ? /^data:[\w/+.-]*;base64,(.+)$/.exec(imageUrl)?.[1] : undefined;
  if (base64 === undefined) {
    throw new InputRefused('image_url', 'file_download_error', 'Failed to download the file. Check the URL');
  }
  const bytes = Buffer.from(base64, 'base64');
  try {
    const { width, height } = await sharp(bytes).metadata();
    const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
    return { size: { widthPx: width, heightPx: height }, hash };
  } catch {
    throw new InputRefused('image_url', 'image_load_error', 'Failed to load the image. It may be corrupted');
  }
}

/** Outpainting: so many pixels more on each side. */
function expanded(size: PictureSize, input: Readonly<Record<string, unknown>>): PictureSize {
  const [left = 0, right = 0, top = 0, bottom = 0] = EXPANSIONS.map((name) => {
    const value = input[name] ?? 0;
    if (typeof value === 'number' && value >= 0 && value <= MAX_EDGE_PX) return Math.floor(value);
    throw new InputRefused(name, 'int_type', 'Input should be a valid integer');
  });
  return { widthPx: size.widthPx + left + right, heightPx: size.heightPx + top + bottom };
}
