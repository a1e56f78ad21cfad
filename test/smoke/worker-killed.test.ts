import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

/** The smallest values allowed, so that a killed worker is missed soon. `zombie.test.ts` tests the defaults. */
const HEARTBEAT_SECONDS = 3;
const SCHEDULE_TO_START_SECONDS = 5;
/** The pause before the next attempt, a look at the backend, the next claim, and Temporal's timers on a busy machine. */
const SPARE_SECONDS = 12;

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.5 });
  service = await startService({
    comfyUrls: [simulator.url],
    env: {
      HEARTBEAT_TIMEOUT_SECONDS: String(HEARTBEAT_SECONDS),
      SCHEDULE_TO_START_SECONDS: String(SCHEDULE_TO_START_SECONDS),
    },
  });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

/** What the ComfyUI wrote down after that many entries, by the name of the event. */
function eventsAfter(entries: number): readonly string[] {
  return simulator
    .journal()
    .slice(entries)
    .map(({ event }) => event);
}

test.each([
  ['SIGKILL', null],
  ['SIGTERM', 0],
] as const)(
  '%s to the worker while a prompt renders: nothing is interrupted, the next worker takes the same prompt, which is rendered once',
  async (signal, code) => {
    const before = simulator.journal().length;
    const { id } = await service.submit({
      template: 'sd15-text-to-image',
      parameters: { prompt: `a lighthouse after ${signal}`, width: 256, height: 256, steps: 20, seed: 7 },
    });
    await service.untilStatus(id, 'PROCESSING');
    expect((await service.killWorker(signal)).code).toBe(code);
    expect(eventsAfter(before)).not.toContain('rendering_finished');
    await service.startWorker();

    const finished = await service.untilStatus(id, 'COMPLETED', 60_000);
    expect(finished.outputs).toHaveLength(1);
    expect(finished.attempts).toEqual([]);
    const events = eventsAfter(before);
    for (const event of ['prompt_received', 'rendering_started', 'rendering_finished']) {
      expect(events.filter((each) => each === event)).toHaveLength(1);
    }
    expect(events).not.toContain('interrupt');
  },
  120_000,
);

test('ComfyUI killed while it renders and started again: the prompt is submitted again under the next number', async () => {
  const before = simulator.journal().length;
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a storm', width: 256, height: 256, steps: 10, seed: 8 },
  });
  await service.untilStatus(id, 'PROCESSING');
  await simulator.kill('SIGKILL');
  simulator = await startSimulator({ secondsPerStep: 0.01, port: simulator.port, dataDir: simulator.dataDir });

  const finished = await service.untilStatus(id, 'COMPLETED', 60_000);
  expect(finished.attempts).toMatchObject([{ kind: 'BACKEND_CRASHED', strategy: 'wait_and_resubmit' }]);
  const accepted = await until('two prompts in the journal', async () => {
    const received = simulator
      .journal()
      .slice(before)
      .filter(({ event }) => event === 'prompt_received');
    return received.length === 2 ? received : null;
  });
  expect(new Set(accepted.map(({ promptId }) => promptId)).size).toBe(2);
}, 120_000);

test('a worker that stays away: another one takes over when the heartbeat timeout and the schedule-to-start timeout have passed', async () => {
  await service.killWorker('SIGTERM');
  await service.startWorker({ WORKER_ROLES: 'control' });
  const lost = await startSimulator({ secondsPerStep: 3 });
  const gpuWorker = async (backendId: string, { url }: SimulatorProcess) =>
    service.startOther(backendId, { WORKER_ROLES: 'gpu', COMFYUI_URL: url, BACKEND_ID: backendId });
  const killed = await gpuWorker('killed', lost);
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a ferry', width: 64, height: 64, steps: 150, seed: 9 },
  });
  await service.untilStatus(id, 'PROCESSING', 60_000);
  const survivor = await gpuWorker('survivor', simulator);
  try {
    await killed.end('SIGKILL');
    const killedAt = performance.now();
    await until('it is taken over', async () => (await service.get(id)).abandonedRenderings === 1, 90_000);
    const seconds = (performance.now() - killedAt) / 1_000;
    process.stdout.write(`Taken over from a worker that was killed: ${seconds.toFixed(1)} s\n`);
    expect(seconds).toBeGreaterThan(SCHEDULE_TO_START_SECONDS);
    expect(seconds).toBeLessThan(HEARTBEAT_SECONDS + SCHEDULE_TO_START_SECONDS + SPARE_SECONDS);
    await until('the other renders it', async () => (await service.get(id)).status === 'PROCESSING', 60_000);
    await service.post(`/v1/generations/${id}/cancel`);
    await service.untilStatus(id, 'CANCELLED', 60_000);
  } finally {
    await Promise.all([killed.end('SIGKILL'), survivor.end('SIGTERM'), lost.stop()]);
  }
}, 240_000);
