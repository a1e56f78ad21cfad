import { afterEach, expect, test } from '@jest/globals';
import sharp from 'sharp';
import { promptIdOf } from '../../activities/comfyui/prompt-id.js';
import { arm } from '../activities/support/simulators.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess, SimulatorProcessOptions } from '../support/simulator-process.js';
import { until } from '../support/until.js';

interface World {
  readonly service: Service;
  readonly simulator: SimulatorProcess;
}

let world: World | null = null;

afterEach(async () => {
  await world?.service.stop(); // runs the checker
  await world?.simulator.stop();
  world = null;
}, 90_000);

async function start(options: SimulatorProcessOptions, env: Readonly<Record<string, string>> = {}): Promise<World> {
  const simulator = await startSimulator(options);
  const service = await startService({ comfyUrls: [simulator.url], env: { BACKEND_ID: 'gpu-1', ...env } });
  world = { service, simulator };
  return world;
}

const REQUEST = {
  template: 'sd15-text-to-image',
  parameters: { prompt: 'a heron', width: 1024, height: 1024, seed: 3, steps: 20, batch_size: 4 },
};

async function retried({ service }: World, id: string): Promise<SeenGeneration> {
  const answer = await service.post(`/v1/generations/${id}/retry`);
  expect(answer.status).toBe(202);
  const again = (await answer.json()) as SeenGeneration;
  return service.untilStatus(again.id, 'COMPLETED', 90_000);
}

/** The pixels of every picture: its file also carries the graph. */
async function pixelsOf({ service }: World, { outputs }: SeenGeneration): Promise<readonly string[]> {
  return Promise.all(
    outputs.map(async ({ url }) => {
      const file = await (await fetch(`${service.apiUrl}${url}`)).arrayBuffer();
      return (await sharp(Buffer.from(file)).raw().toBuffer()).toString('base64');
    }),
  );
}

/** Prompts of one generation whose rendering has begun. */
function renderingsOf({ simulator }: World, id: string): readonly number[] {
  const numbers = [1, 2, 3, 4, 5, 6];
  const started = simulator.journal().filter(({ event }) => event === 'rendering_started');
  return numbers.filter((number) => started.some(({ promptId }) => promptId === promptIdOf(id, number)));
}

const setCard = async ({ simulator }: World, gib: number) =>
  fetch(`${simulator.url}/simulator/vram`, { method: 'POST', body: JSON.stringify({ gib }) });

/** A batch that fits in halves only, the second of which fails: one part is stored, and the generation is FAILED. */
async function failedHalfway(here: World): Promise<SeenGeneration> {
  const { id } = await here.service.submit(REQUEST);
  const words = 'mat1 and mat2 shapes cannot be multiplied (8x64 and 128x3)';
  const fault = { kind: 'node_error', nodeType: 'KSampler', exceptionType: 'RuntimeError', exceptionMessage: words };
  // The whole, the whole after its memory was freed, the first half, the second half.
  await arm(here.simulator, { ...fault, promptId: promptIdOf(id, 4), count: 1 });
  const seen = await here.service.untilStatus(id, 'FAILED', 90_000);
  expect(seen.error).toMatchObject({ kind: 'WORKFLOW_ERROR' });
  expect(renderingsOf(here, id)).toEqual([1, 2, 3, 4]);
  return seen;
}

test('a retry renders only what is missing of a batch, and delivers all pictures, the very same', async () => {
  const here = await start({ extraArgs: ['--device', 'cuda', '--vram-gib', '8'] });
  const failed = await failedHalfway(here);
  const job = await fetch(`${here.service.apiUrl}/api/error-recovery/jobs/${failed.id}/status`);
  expect(await job.json()).toMatchObject({ data: { recovery_status: { available_checkpoints: 3 } } });

  const again = await retried(here, failed.id);
  expect(again.attempts).toEqual([]); // the half that is left fits as it is
  expect(renderingsOf(here, again.id)).toEqual([1]);
  expect(again.outputs.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  expect(again.delivered).toEqual(again.asked);

  await setCard(here, 80);
  const { id } = await here.service.submit(REQUEST);
  const whole = await here.service.untilStatus(id, 'COMPLETED', 90_000);
  expect(renderingsOf(here, id)).toEqual([1]);
  expect(await pixelsOf(here, again)).toEqual(await pixelsOf(here, whole));
}, 240_000);

test('a retry takes the prompt that has finished while nobody could look', async () => {
  const here = await start({ secondsPerStep: 0.1 }, { FALLBACK_AFTER_SECONDS: '1' });
  const parameters = { ...REQUEST.parameters, width: 64, height: 64, batch_size: 1, steps: 30 };
  const { id } = await here.service.submit({ ...REQUEST, parameters, recovery: { enabled: false } });
  await until('it samples', async () => ((await here.service.get(id)).progress?.step ?? 0) > 2, 30_000);
  await arm(here.simulator, { kind: 'outage', durationMs: 12_000 });
  const failed = await here.service.untilStatus(id, 'FAILED', 60_000);
  expect(['NETWORK_ERROR', 'BACKEND_CRASHED']).toContain(failed.error?.kind);
  const again = await retried(here, id);
  expect(renderingsOf(here, again.id)).toEqual([]);
  expect(here.simulator.journal().filter(({ event }) => event === 'rendering_started')).toHaveLength(1);
  expect(again.outputs).toHaveLength(1);
}, 150_000);
