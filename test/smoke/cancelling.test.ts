import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { TIER_VERSIONS, startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

const SECONDS_PER_STEP = 0.5;
const STEPS = 150;

let first: SimulatorProcess;
let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  first = await startSimulator({ secondsPerStep: SECONDS_PER_STEP });
  simulator = first;
  // Two at a time: the second waits in ComfyUI at once, not only when the first is about to end.
  service = await startService({ comfyUrls: [simulator.url], env: { MAX_GPU_JOBS: '2', PREFETCH: '0' } });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
  await first.stop(); // with the folder of all
}, 60_000);

describe.each(TIER_VERSIONS)('on ComfyUI %s', (version) => {
  beforeAll(async () => {
    // One service for all: its worker finds another version at the same address, as after an update.
    await simulator.kill('SIGTERM');
    const { port, dataDir } = first;
    simulator = await startSimulator({ secondsPerStep: SECONDS_PER_STEP, port, dataDir, version });
  }, 30_000);

  test('a cancel while rendering frees the GPU long before the rendering would end, and ends as CANCELLED, in Temporal, too', async () => {
    const { id } = await service.submit(longRequest(1));
    await service.untilStatus(id, 'PROCESSING');
    const before = interrupts();
    const cancelledAt = performance.now();
    expect((await service.post(`/v1/generations/${id}/cancel`)).status).toBe(202);

    await until('the interrupt arrives', async () => interrupts() > before);
    // Two seconds are the promise, which `npm run bench -- cancel` measures.
    expect(performance.now() - cancelledAt).toBeLessThan((STEPS * SECONDS_PER_STEP * 1000) / 5);
    await service.untilStatus(id, 'CANCELLED');
    expect(await queueOf(simulator)).toEqual({ running: 0, pending: 0 });
    const description = await until('Temporal closes it', async () => {
      const seen = await service.temporal.workflow.getHandle(`generation/${id}`).describe();
      return seen.status.name === 'RUNNING' ? null : seen;
    });
    expect(description.status.name).toBe('CANCELLED');
  });

  test('a cancel while QUEUED ends as CANCELLED, whether the prompt waits in ComfyUI or the claim in Temporal', async () => {
    const rendering = await service.submit(longRequest(2));
    await service.untilStatus(rendering.id, 'PROCESSING');
    const prefetched = await service.submit(longRequest(3));
    await until('the second prompt waits in ComfyUI', async () => (await queueOf(simulator)).pending === 1);
    const waiting = await service.submit(longRequest(4));
    expect((await service.get(prefetched.id)).status).toBe('QUEUED');

    for (const { id } of [waiting, prefetched]) {
      await service.post(`/v1/generations/${id}/cancel`);
      await service.untilStatus(id, 'CANCELLED');
    }
    expect(await queueOf(simulator)).toEqual({ running: 1, pending: 0 });
    expect((await service.get(rendering.id)).status).toBe('PROCESSING'); // nobody else was hit
    await service.post(`/v1/generations/${rendering.id}/cancel`);
    await service.untilStatus(rendering.id, 'CANCELLED');
    expect(await queueOf(simulator)).toEqual({ running: 0, pending: 0 });
  });

  test('a cancel by the Temporal client ends as CANCELLED', async () => {
    const { id } = await service.submit(longRequest(5));
    await service.untilStatus(id, 'PROCESSING');
    await service.temporal.workflow.getHandle(`generation/${id}`).cancel();
    await service.untilStatus(id, 'CANCELLED');
    expect(await queueOf(simulator)).toEqual({ running: 0, pending: 0 });
  });

  test('a cancel that comes too late leaves the result', async () => {
    const { id } = await service.submit({ template: 'test-card', parameters: { width: 64, height: 64 } });
    await service.untilStatus(id, 'COMPLETED');
    expect((await service.post(`/v1/generations/${id}/cancel`)).status).toBe(200);
    expect((await service.get(id)).status).toBe('COMPLETED');
  });
});

function longRequest(seed: number) {
  return {
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a fjord', width: 256, height: 256, steps: STEPS, seed },
  };
}

function interrupts(): number {
  return simulator.journal().filter(({ event, hits }) => event === 'interrupt' && hits === true).length;
}

async function queueOf({ url }: SimulatorProcess) {
  const queue = (await (await fetch(`${url}/queue`)).json()) as {
    queue_running: unknown[];
    queue_pending: unknown[];
  };
  return { running: queue.queue_running.length, pending: queue.queue_pending.length };
}
