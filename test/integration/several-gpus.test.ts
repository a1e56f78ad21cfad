import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

const GENERATIONS = 12;
let simulators: readonly SimulatorProcess[];
let service: Service;

beforeAll(async () => {
  simulators = await Promise.all([startSimulator({ secondsPerStep: 0.05 }), startSimulator({ secondsPerStep: 0.05 })]);
  service = await startService({
    comfyUrls: simulators.map(({ url }) => url),
    env: { MAX_GPU_JOBS: '1', PREFETCH: '1' },
  });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await Promise.all(simulators.map((simulator) => simulator.stop()));
}, 60_000);

test('R4.3 every address in COMFYUI_URL renders, each holds at most MAX_GPU_JOBS + PREFETCH prompts, and none is lost', async () => {
  const requests = Array.from({ length: GENERATIONS }, async (_, seed) =>
    service.submit({
      template: 'sd15-text-to-image',
      parameters: { prompt: 'a harbour', width: 64, height: 64, steps: 10, seed },
    }),
  );
  const accepted = await Promise.all(requests);
  for (const { id } of accepted) await service.untilStatus(id, 'COMPLETED', 60_000);

  const finished = simulators.map((simulator) => countOf(simulator, 'rendering_finished'));
  expect(finished.reduce((sum, count) => sum + count, 0)).toBe(GENERATIONS);
  expect(Math.min(...finished)).toBeGreaterThan(1); // both pulled
  for (const simulator of simulators) expect(deepestQueueOf(simulator)).toBeLessThanOrEqual(2);
}, 120_000);

function countOf(simulator: SimulatorProcess, event: string): number {
  return simulator.journal().filter((entry) => entry.event === event).length;
}

/** Prompts that were in a ComfyUI at the same time, running and pending. */
function deepestQueueOf(simulator: SimulatorProcess): number {
  let depth = 0;
  let deepest = 0;
  for (const { event } of simulator.journal()) {
    if (event === 'prompt_queued') depth += 1;
    if (event === 'rendering_finished') depth -= 1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}
