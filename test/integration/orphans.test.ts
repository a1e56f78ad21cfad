import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { promptIdOf } from '../../activities/comfyui/prompt-id.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

/** What is promised for the sweep at the interval that it has unless somebody sets another. */
const SWEPT_WITHIN_MS = 15_000;

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.2 });
  service = await startService({
    comfyUrls: [simulator.url],
    env: { RECONCILE_INTERVAL_MS: '500' },
  });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

test('the prompt of a Workflow that was terminated is removed, prompts of others stay', async () => {
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a cliff', width: 64, height: 64, steps: 150, seed: 1 },
  });
  await service.untilStatus(id, 'PROCESSING');
  const strangers = [
    await queue({}), // of a person at the ComfyUI page
    await queue({ durable_comfy: { generationId: 'gen_of_another_installation', submission: 1 } }),
  ];
  expect(await waiting()).toEqual(strangers);

  await service.temporal.workflow.getHandle(`generation/${id}`).terminate('by an operator');
  await until(
    'the prompt is interrupted',
    async () => simulator.journal().some(({ event }) => event === 'interrupt'),
    SWEPT_WITHIN_MS,
  );
  await until('the next one renders', async () => (await running()) === strangers[0]);
  expect(await waiting()).toEqual(strangers.slice(1));
  expect(service.workerLog()).toMatch(/its Workflow is closed|its generation has ended/); // whichever is seen first
  for (const promptId of strangers) await drop(promptId);
}, 60_000);

test('a second copy of a prompt that lives, and one under a number that the claim does not have, are removed', async () => {
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a reef', width: 64, height: 64, steps: 150, seed: 2 },
  });
  await service.untilStatus(id, 'PROCESSING', 60_000); // what the strangers of the test before have queued goes first
  const marker = { durable_comfy: { generationId: id, submission: 1 } };
  const promptId = promptIdOf(id, 1);
  await queue(marker, promptId);
  await queue({ durable_comfy: { generationId: id, submission: 2 } });
  await until('both are gone', async () => (await waiting()).length === 0, SWEPT_WITHIN_MS);
  expect(await running()).toBe(promptId);
  expect(service.workerLog()).toContain('Removing a second copy of a prompt');
  expect(service.workerLog()).toContain('another submission has taken its place');
  const { status } = await service.get(id);
  expect(status).toBe('PROCESSING');
}, 120_000);

async function queue(extraData: Readonly<Record<string, unknown>>, promptId: string = randomUUID()): Promise<string> {
  const prompt = {
    '4': { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'v1-5-pruned-emaonly.safetensors' } },
    '5': { class_type: 'EmptyLatentImage', inputs: { width: 64, height: 64, batch_size: 1 } },
    '6': { class_type: 'CLIPTextEncode', inputs: { text: promptId, clip: ['4', 1] } },
    '3': {
      class_type: 'KSampler',
      inputs: {
        ...{ seed: 1, steps: 500, cfg: 7, sampler_name: 'euler', scheduler: 'normal', denoise: 1 },
        ...{ model: ['4', 0], positive: ['6', 0], negative: ['6', 0], latent_image: ['5', 0] },
      },
    },
    '8': { class_type: 'VAEDecode', inputs: { samples: ['3', 0], vae: ['4', 2] } },
    '9': { class_type: 'SaveImage', inputs: { images: ['8', 0], filename_prefix: 'theirs' } },
  };
  const body = JSON.stringify({ prompt, prompt_id: promptId, client_id: promptId, extra_data: extraData });
  const response = await fetch(`${simulator.url}/prompt`, { method: 'POST', body });
  expect(response.status).toBe(200);
  return promptId;
}

async function queues(): Promise<{ queue_running: [number, string][]; queue_pending: [number, string][] }> {
  return (await (await fetch(`${simulator.url}/queue`)).json()) as Awaited<ReturnType<typeof queues>>;
}

async function waiting(): Promise<string[]> {
  const { queue_pending: pending } = await queues();
  return [...pending].sort(([a], [b]) => a - b).map(([, id]) => id);
}

async function running(): Promise<string | undefined> {
  return (await queues()).queue_running[0]?.[1];
}

/** What a person does who no longer wants a prompt. */
async function drop(promptId: string): Promise<void> {
  const post = async (path: string, body: unknown) =>
    fetch(`${simulator.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
  await post('/queue', { delete: [promptId] });
  await post('/interrupt', { prompt_id: promptId });
  await until('it is gone', async () => !(await waiting()).includes(promptId) && (await running()) !== promptId);
}
