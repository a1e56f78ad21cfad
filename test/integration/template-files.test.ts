import { afterAll, beforeAll, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { SIMULATOR_KEY } from '../../infra/simulators/fal/options.js';
import { arm } from '../activities/support/simulators.js';
import { falEvents, startFal } from '../support/fal-process.js';
import type { FalProcess } from '../support/fal-process.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

let simulator: SimulatorProcess;
let fal: FalProcess;
let service: Service;
/** A picture of 128×96, and a face that is no flat area. */
let photo: string;

beforeAll(async () => {
  [simulator, fal] = await Promise.all([startSimulator(), startFal()]);
  service = await startService({
    comfyUrls: [simulator.url],
    env: { FAL_KEY: SIMULATOR_KEY, FAL_QUEUE_URL: fal.url, FALLBACK_AFTER_SECONDS: '3' },
  });
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const picture = sharp({ create: { width: 128, height: 96, channels: 3, background: '#000', noise } });
  photo = await upload(await picture.png().toBuffer());
}, 60_000);

afterAll(async () => {
  await service.stop();
  await Promise.all([simulator.stop(), fal.stop()]);
}, 60_000);

async function upload(bytes: Buffer): Promise<string> {
  const form = new FormData();
  form.append('file', new Blob([new Uint8Array(bytes)]), 'photo.png');
  const response = await fetch(`${service.apiUrl}/v1/uploads`, { method: 'POST', body: form });
  return ((await response.json()) as { readonly id: string }).id;
}

const generate = async (template: string, parameters: object, more: object = {}): Promise<SeenGeneration> => {
  const { id } = await service.submit({ template, parameters, ...more });
  return service.untilStatus(id, 'COMPLETED', 60_000);
};

test.each([
  ['sd15-image-to-image', { prompt: 'a quay', steps: 2 }, { width: 128, height: 96 }],
  ['flux-fill-outpaint', { prompt: 'a quay', left: 64, right: 32, top: 8, steps: 2 }, { width: 224, height: 104 }],
  ['upscale-x4', {}, { width: 512, height: 384 }],
])(
  'R1.8 %s renders from a picture that was brought, in the size that follows from it',
  async (template, more, size) => {
    const seen = await generate(template, { image: photo, ...more });
    expect(seen).toMatchObject({ provider: 'comfyui', asked: { image: photo }, attempts: [], outputs: [size] });
  },
  90_000,
);

test('R1.2 R1.8 outpainting on a ComfyUI that dies: fal.ai expands the same picture, and nobody is asked for it again', async () => {
  await arm(simulator, { kind: 'crash', nodeType: 'DualCLIPLoader' });
  const parameters = { image: photo, prompt: 'a harbour', left: 64, right: 64, top: 0, bottom: 0, steps: 2 };
  const seen = await generate('flux-fill-outpaint', parameters);
  expect(seen).toMatchObject({ provider: 'fal', asked: { image: photo }, outputs: [{ width: 256, height: 96 }] });
  expect(falEvents(fal, 'submitted')).toHaveLength(1);
}, 120_000);
