import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator();
  service = await startService({ comfyUrls: [simulator.url] });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

const SIZE = { width: 96, height: 64 };
const FRAMES = 12;
const FPS = 8;

type Graph = Readonly<
  Record<string, { readonly class_type: string; readonly inputs: Readonly<Record<string, unknown>> }>
>;

function node(classType: string, inputs: Readonly<Record<string, unknown>>): Graph[string] {
  return { class_type: classType, inputs };
}

/** Two colours, so that the video has something to show. */
const pictures: Graph = {
  '1': node('EmptyImage', { ...SIZE, batch_size: FRAMES / 2, color: 0x336699 }),
  '2': node('EmptyImage', { ...SIZE, batch_size: FRAMES / 2, color: 0x993366 }),
  '3': node('ImageBatch', { image1: ['1', 0], image2: ['2', 0] }),
};
const sound: Graph = { '4': node('EmptyAudio', { duration: FRAMES / FPS, sample_rate: 44_100, channels: 2 }) };
const prefix = { filename_prefix: 'anything' };

function combined(format: string, inputs: Readonly<Record<string, unknown>> = {}): Graph[string] {
  const settings = { frame_rate: FPS, loop_count: 0, pingpong: false, save_output: true };
  return node('VHS_VideoCombine', { images: ['3', 0], ...settings, format, ...prefix, ...inputs });
}

const MOVING = { ...SIZE, frames: FRAMES, durationSeconds: FRAMES / FPS };
const SOUND = { width: null, height: null, frames: null, durationSeconds: FRAMES / FPS };

const CASES = [
  {
    name: 'MP4 with sound, by SaveVideo, under "images"',
    graph: {
      ...{ ...pictures, ...sound },
      '5': node('CreateVideo', { images: ['3', 0], fps: FPS, audio: ['4', 0] }),
      '6': node('SaveVideo', { video: ['5', 0], format: 'auto', codec: 'auto', ...prefix }),
    },
    expected: { kind: 'video', mediaType: 'video/mp4', ...MOVING },
    extension: 'mp4',
  },
  {
    name: 'WebM, by SaveWEBM',
    graph: { ...pictures, '6': node('SaveWEBM', { images: ['3', 0], codec: 'vp9', fps: FPS, crf: 32, ...prefix }) },
    expected: { kind: 'video', mediaType: 'video/webm', ...MOVING },
    extension: 'webm',
  },
  {
    name: 'MP4, by Video Helper Suite, under "gifs"',
    graph: { ...pictures, '6': combined('video/h264-mp4') },
    expected: { kind: 'video', mediaType: 'video/mp4', ...MOVING },
    extension: 'mp4',
  },
  {
    name: 'animated WebP, by SaveAnimatedWEBP',
    graph: {
      ...pictures,
      '6': node('SaveAnimatedWEBP', {
        ...{ images: ['3', 0], fps: FPS, lossless: true, quality: 80, method: 'default', ...prefix },
      }),
    },
    // Equal pictures are put together and shown longer.
    expected: { kind: 'image', mediaType: 'image/webp', ...MOVING, frames: 2 },
    extension: 'webp',
  },
  {
    name: 'GIF, by Video Helper Suite',
    graph: { ...pictures, '6': combined('image/gif') },
    expected: {
      kind: 'image',
      mediaType: 'image/gif',
      ...MOVING,
      durationSeconds: 1.51,
    },
    extension: 'gif',
  },
  {
    name: 'animated PNG, by SaveAnimatedPNG',
    graph: {
      ...pictures,
      '6': node('SaveAnimatedPNG', { images: ['3', 0], fps: FPS, compress_level: 4, ...prefix }),
    },
    expected: { kind: 'image', mediaType: 'image/png', ...MOVING },
    extension: 'png',
  },
  {
    name: 'FLAC, by SaveAudio, under "audio"',
    graph: { ...sound, '6': node('SaveAudio', { audio: ['4', 0], ...prefix }) },
    expected: { kind: 'audio', mediaType: 'audio/flac', ...SOUND },
    extension: 'flac',
  },
  {
    name: 'MP3, by SaveAudioMP3',
    graph: { ...sound, '6': node('SaveAudioMP3', { audio: ['4', 0], quality: '128k', ...prefix }) },
    expected: { kind: 'audio', mediaType: 'audio/mpeg' },
    extension: 'mp3',
  },
  {
    name: 'Opus, by SaveAudioOpus',
    graph: { ...sound, '6': node('SaveAudioOpus', { audio: ['4', 0], quality: '64k', ...prefix }) },
    expected: { kind: 'audio', mediaType: 'audio/ogg' },
    extension: 'opus',
  },
  {
    name: 'a latent, by SaveLatent, under "latents"',
    graph: {
      '1': node('EmptyLatentImage', { ...SIZE, batch_size: 1 }),
      '6': node('SaveLatent', { samples: ['1', 0], ...prefix }),
    },
    expected: { kind: 'latent', mediaType: 'application/octet-stream' },
    extension: 'latent',
  },
] as const;

test.each(CASES)('R3.2 $name is delivered as it is', async ({ graph, expected, extension }) => {
  const { id } = await service.submit({ graph });
  const seen = await service.untilStatus(id, 'COMPLETED');
  expect(seen.outputs).toEqual([expect.objectContaining({ ...expected, index: 0 })]);
  const response = await fetch(`${service.apiUrl}/v1/generations/${id}/outputs/0`);
  expect(response.headers.get('content-type')).toBe(expected.mediaType);
  expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  const disposition = expected.kind === 'latent' ? 'attachment' : 'inline';
  expect(response.headers.get('content-disposition')).toBe(`${disposition}; filename="${id}_0.${extension}"`);
  const delivered = Buffer.from(await response.arrayBuffer());
  expect(sha256Of(delivered)).toBe(sha256Of(fileOf(id)));
});

/** What ComfyUI itself has of that generation, in its output folder. */
function fileOf(generationId: string): Buffer {
  const folder = join(simulator.dataDir, 'output', 'dg', generationId);
  const [file] = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return readFileSync(join(file?.parentPath ?? '', file?.name ?? ''));
}

function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
