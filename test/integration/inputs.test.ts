import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { createObjectStore } from '../../activities/storage/object-store.js';
import { arm } from '../activities/support/simulators.js';
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

/** Draws what was brought once more, a little. */
const redraw = (prompt: string) => ({
  '1': { class_type: 'LoadImage', inputs: { image: 'my photo.png' } },
  '2': { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'v1-5-pruned-emaonly.safetensors' } },
  '3': { class_type: 'VAEEncode', inputs: { pixels: ['1', 0], vae: ['2', 2] } },
  '4': { class_type: 'CLIPTextEncode', inputs: { text: prompt, clip: ['2', 1] } },
  '5': {
    class_type: 'KSampler',
    inputs: {
      ...{ seed: 1, steps: 2, cfg: 7, sampler_name: 'euler', scheduler: 'normal', denoise: 0.5 },
      ...{ model: ['2', 0], positive: ['4', 0], negative: ['4', 0], latent_image: ['3', 0] },
    },
  },
  '6': { class_type: 'VAEDecode', inputs: { samples: ['5', 0], vae: ['2', 2] } },
  '7': { class_type: 'SaveImage', inputs: { images: ['6', 0], filename_prefix: 'x' } },
});

interface Uploaded {
  readonly id: string;
  readonly sha256: string;
}

async function bring(colour: string, widthPx = 96, heightPx = 64): Promise<Uploaded> {
  const bytes = await sharp({ create: { width: widthPx, height: heightPx, channels: 3, background: colour } })
    .png()
    .toBuffer();
  const form = new FormData();
  form.append('file', new Blob([new Uint8Array(bytes)]), 'my photo.png');
  const response = await fetch(`${service.apiUrl}/v1/uploads`, { method: 'POST', body: form });
  expect(response.status).toBe(201);
  return (await response.json()) as Uploaded;
}

const submit = async ({ id }: Uploaded, prompt: string) =>
  (await service.submit({ graph: redraw(prompt), images: { 'my photo.png': id } })).id;

const uploadsOf = ({ sha256 }: Uploaded) =>
  simulator.journal().filter(({ event, filename }) => event === 'upload' && String(filename).startsWith(sha256));

const inputFolder = () => join(simulator.dataDir, 'input', 'dg', 'inputs');

describe('A picture that a caller brought', () => {
  test('is brought to ComfyUI once, whoever uses it, and rendered', async () => {
    const photo = await bring('#884422');
    const ids = await Promise.all(['a', 'b', 'c'].map(async (prompt) => submit(photo, prompt)));
    for (const id of ids) {
      const { outputs } = await service.untilStatus(id, 'COMPLETED');
      expect(outputs).toMatchObject([{ width: 96, height: 64 }]);
    }
    expect(uploadsOf(photo)).toMatchObject([{ subfolder: 'dg/inputs', type: 'input' }]);
    expect(existsSync(join(inputFolder(), `${photo.sha256}.png`))).toBe(true);
  });

  test('is brought again when somebody has emptied the folder', async () => {
    const photo = await bring('#228844');
    await service.untilStatus(await submit(photo, 'before'), 'COMPLETED');
    rmSync(inputFolder(), { recursive: true });
    const later = await service.untilStatus(await submit(photo, 'after'), 'COMPLETED');
    expect(later.attempts).toEqual([]);
    expect(uploadsOf(photo)).toHaveLength(2);
  });

  test('is brought again by a worker that was killed before it posted', async () => {
    const photo = await bring('#222288');
    await service.killWorker();
    await service.startWorker({ CRASH_AT: 'submitPrompt.before' });
    const id = await submit(photo, 'killed');
    await service.workerEnded();
    await service.startWorker();
    const { outputs } = await service.untilStatus(id, 'COMPLETED', 60_000);
    expect(outputs).toMatchObject([{ width: 96, height: 64 }]);
  }, 90_000);

  test('ends the generation with the cause when the disk of ComfyUI is full', async () => {
    const photo = await bring('#888822');
    await arm(simulator, { kind: 'disk_full' });
    expect((await service.untilStatus(await submit(photo, 'full'), 'FAILED')).error).toMatchObject({
      kind: 'DISK_FULL',
      detail: expect.stringContaining('could not store the input'),
    });
  });

  test('that was taken out of the store ends the generation, with the cause', async () => {
    const photo = await bring('#aa00aa');
    await createObjectStore(service.bucket).remove(`inputs/${photo.sha256}.png`);
    const { error } = await service.untilStatus(await submit(photo, 'gone'), 'FAILED');
    expect(error).toMatchObject({ kind: 'BAD_INPUT', detail: expect.stringContaining('is not in the object store') });
    expect(uploadsOf(photo)).toEqual([]);
  });

  test('may be named by its path, and by that alone only when it is there', async () => {
    const photo = await bring('#00aaaa');
    const named = (hash: string) => ({
      graph: { ...redraw(hash), '1': { class_type: 'LoadImage', inputs: { image: `dg/inputs/${hash}.png` } } },
    });
    const { id } = await service.submit(named(photo.sha256));
    expect((await service.untilStatus(id, 'COMPLETED')).outputs).toMatchObject([{ width: 96, height: 64 }]);
    expect((await service.post('/v1/generations', named('b'.repeat(64)))).status).toBe(422);
  });
});

test('A picture that is larger than a ComfyUI takes ends the generation, with what to do', async () => {
  const small = await startSimulator({ extraArgs: ['--max-upload-size', '0.01'] });
  const strict = await startService({ comfyUrls: [small.url] });
  try {
    const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
    const picture = sharp({ create: { width: 1_200, height: 900, channels: 3, background: '#000', noise } });
    const form = new FormData();
    form.append('file', new Blob([new Uint8Array(await picture.png().toBuffer())]), 'large.png');
    const response = await fetch(`${strict.apiUrl}/v1/uploads`, { method: 'POST', body: form });
    const { id } = (await response.json()) as Uploaded;
    const accepted = await strict.submit({ graph: redraw('large'), images: { 'my photo.png': id } });
    const { error } = await strict.untilStatus(accepted.id, 'FAILED', 30_000);
    expect(error).toMatchObject({ kind: 'INPUT_TOO_LARGE', remedy: expect.stringContaining('--max-upload-size') });
  } finally {
    await strict.stop();
    await small.stop();
  }
}, 90_000);
