import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type StrictTemplate = 'strict-picture' | 'noiseless-picture' | 'strict-clip' | 'webm-clip' | 'talking-clip';

export const SIZE = { width: 96, height: 64 };

const node = (classType: string, inputs: Readonly<Record<string, unknown>>) => ({ class_type: classType, inputs });

const integer = (fallback: number, ...[id, input]: [string, string]) => ({
  ...{ type: 'integer', min: 1, max: 16_777_215, default: fallback, bindings: [{ node: id, input }] },
});

const SIZED = {
  width: integer(SIZE.width, '1', 'width'),
  height: integer(SIZE.height, '1', 'height'),
  seed: integer(1, '1', 'color'),
};

const COMMON = {
  ...{ description: 'Of the corpus.', pool: 'default', limits: {}, models: [], customNodes: [], example: {} },
  ...{ outputs: ['2'], flatImages: 'fail' },
};

const FAL = {
  model: 'fal-ai/flux/dev',
  input: {
    prompt: { value: 'of the corpus' },
    seed: { parameter: 'seed' },
    'image_size.width': { parameter: 'width' },
    'image_size.height': { parameter: 'height' },
  },
  usdPerOutput: 0.01,
};

const PICTURE = { '1': node('EmptyImage', { ...SIZE, batch_size: 1, color: 1 }) };
const CLIP = {
  ...PICTURE,
  '3': node('RepeatImageBatch', { image: ['1', 0], amount: 12 }),
  '2': node('SaveVideo', { video: ['4', 0], format: 'auto', codec: 'auto', filename_prefix: 'x' }),
};

/** Templates that fail flat pictures, one that fails noise, too; those of clips know how long one is, one asks for sound. */
export function writeStrictTemplates(folder: string): void {
  const expected = { width: 'width', height: 'height', count: null };
  const graph = { ...PICTURE, '2': node('SaveImage', { images: ['1', 0], filename_prefix: 'x' }) };
  const manifest = { ...COMMON, title: 'Strict picture', parameters: SIZED, expected, fal: FAL };
  write(folder, 'strict-picture', { graph, manifest });
  write(folder, 'noiseless-picture', {
    graph,
    manifest: { ...manifest, title: 'Noiseless picture', noisyImages: 'fail' },
  });
  const clip = {
    parameters: { ...SIZED, frames: integer(12, '3', 'amount') },
    expected: { ...expected, kind: 'video', frames: 'frames', fps: 24 },
  };
  write(folder, 'strict-clip', {
    graph: { ...CLIP, '4': node('CreateVideo', { images: ['3', 0], fps: 24 }) },
    manifest: { ...COMMON, title: 'Strict clip', ...clip },
  });
  const webm = { codec: 'vp9', fps: 24, crf: 32, filename_prefix: 'x' };
  write(folder, 'webm-clip', {
    graph: { ...CLIP, '2': node('SaveWEBM', { images: ['3', 0], ...webm }) },
    manifest: { ...COMMON, title: 'WebM clip', ...clip },
  });
  write(folder, 'talking-clip', {
    graph: {
      ...CLIP,
      '5': node('EmptyAudio', { duration: 0.5, sample_rate: 44_100, channels: 2 }),
      '4': node('CreateVideo', { images: ['3', 0], fps: 24, audio: ['5', 0] }),
    },
    manifest: { ...COMMON, title: 'Talking clip', ...clip, expected: { ...clip.expected, sound: true } },
  });
}

function write(
  folder: string,
  ...[name, { graph, manifest }]: [StrictTemplate, { readonly graph: unknown; readonly manifest: unknown }]
): void {
  mkdirSync(join(folder, name));
  writeFileSync(join(folder, name, 'graph.json'), JSON.stringify(graph));
  writeFileSync(join(folder, name, 'template.json'), JSON.stringify(manifest));
}
