import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { SIMULATED_VERSIONS, startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

/** The newest says most of what is wrong, and is the one whose words changed last. */
const VERSION = SIMULATED_VERSIONS.at(-1) ?? '';

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator({ version: VERSION });
  service = await startService({ comfyUrls: [simulator.url] });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

type Changes = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** A whole graph, with inputs written otherwise. */
function graphWith(changes: Changes) {
  const node = (classType: string, title: string, inputs: Readonly<Record<string, unknown>>) => ({
    class_type: classType,
    _meta: { title },
    inputs,
  });
  const graph = {
    '3': node('KSampler', 'Sampler', {
      ...{ seed: 1, steps: 2, cfg: 7, sampler_name: 'euler', scheduler: 'normal', denoise: 1 },
      ...{ model: ['4', 0], positive: ['6', 0], negative: ['6', 0], latent_image: ['5', 0] },
    }),
    '4': node('CheckpointLoaderSimple', 'Model', { ckpt_name: 'v1-5-pruned-emaonly.safetensors' }),
    '5': node('EmptyLatentImage', 'Size', { width: 64, height: 64, batch_size: 1 }),
    '6': node('CLIPTextEncode', 'Words', { text: 'a house', clip: ['4', 1] }),
    '8': node('VAEDecode', 'Decode', { samples: ['3', 0], vae: ['4', 2] }),
    '9': node('SaveImage', 'Save', { images: ['8', 0], filename_prefix: 'x' }),
  };
  return Object.fromEntries(
    Object.entries(graph).map(([id, each]) => [id, { ...each, inputs: { ...each.inputs, ...changes[id] } }]),
  );
}

describe('R3.4 what is only written otherwise', () => {
  test('is corrected in a graph, and reported with node, title, input and both values', async () => {
    const changes = { '3': { sampler_name: 'k_euler_a' }, '4': { ckpt_name: 'sd_xl_base_1.0.ckpt' } };
    const { id } = await service.submit({ graph: graphWith(changes) });
    const corrections = [
      { node: '3', title: 'Sampler', input: 'sampler_name', from: 'k_euler_a', to: 'euler_ancestral' },
      { node: '4', title: 'Model', input: 'ckpt_name', from: 'sd_xl_base_1.0.ckpt', to: 'sd_xl_base_1.0.safetensors' },
    ];
    expect(await service.untilStatus(id, 'COMPLETED')).toMatchObject({ corrections, attempts: [] });
    const events = await fetch(`${service.apiUrl}/v1/generations/${id}/events`).then(async (answer) => answer.text());
    expect(events).toMatch(/"corrections":\[\{[^\]]*"k_euler_a"/);
  });

  test('is corrected in a parameter of a template, and told at once', async () => {
    const parameters = { prompt: 'a house', width: 64, height: 64, steps: 2, seed: 1, sampler: 'euler_a' };
    const accepted = await service.submit({ template: 'sd15-text-to-image', parameters });
    const corrections = [{ node: null, title: null, input: 'sampler', from: 'euler_a', to: 'euler_ancestral' }];
    expect(accepted).toMatchObject({ corrections, asked: { sampler: 'euler_ancestral' } });
    expect(await service.untilStatus(accepted.id, 'COMPLETED')).toMatchObject({ corrections });
  });

  test('a graph that is right is not touched', async () => {
    const { id } = await service.submit({ graph: graphWith({}) });
    expect(await service.untilStatus(id, 'COMPLETED')).toMatchObject({ corrections: [] });
  });
});

test('R3.4 what is wrong ends in one error with every node, title, input, value and the closest values', async () => {
  const changes = { '3': { sampler_name: 'eulerish', steps: 20_000 }, '5': { width: 1 } };
  const { id } = await service.submit({ graph: graphWith(changes) });
  const { error } = await service.untilStatus(id, 'FAILED');
  expect(error).toMatchObject({ kind: 'WORKFLOW_ERROR' });
  expect(error?.detail).toContain('node 3 "Sampler" (KSampler): Value not in list: sampler_name: \'eulerish\'');
  expect(error?.detail).toMatch(/the closest are euler, /);
  expect(error?.detail).toContain('20000');
  expect(error?.detail).toContain('node 5 "Size" (EmptyLatentImage)');
});

test('R3.4 a model that is missing is told with the closest that are there', async () => {
  const changes = { '4': { ckpt_name: 'no-such-model.safetensors' } };
  const { id } = await service.submit({ graph: graphWith(changes), recovery: { enabled: false } });
  const { error } = await service.untilStatus(id, 'FAILED');
  expect(error).toMatchObject({ kind: 'MODEL_MISSING' });
  expect(error?.detail).toMatch(/node 4 "Model".*the closest are /);
});
