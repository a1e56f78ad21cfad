import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.5 });
  service = await startService({ comfyUrls: [simulator.url] });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

test('kill -9 of the worker while a prompt renders: the next worker takes the same prompt, which is rendered once', async () => {
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a lighthouse', width: 256, height: 256, steps: 20, seed: 7 },
  });
  await service.untilStatus(id, 'PROCESSING');
  await service.killWorker();
  expect(simulator.journal().some(({ event }) => event === 'rendering_finished')).toBe(false);
  await service.startWorker();

  const finished = await service.untilStatus(id, 'COMPLETED', 60_000);
  expect(finished.outputs).toHaveLength(1);
  expect(finished.attempts).toEqual([]);
  const events = simulator.journal().map(({ event }) => event);
  expect(events.filter((event) => event === 'prompt_received')).toHaveLength(1);
  expect(events.filter((event) => event === 'rendering_started')).toHaveLength(1);
  expect(events.filter((event) => event === 'rendering_finished')).toHaveLength(1);
}, 120_000);

test('ComfyUI killed while it renders and started again: the prompt is submitted again under the next number', async () => {
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
    const received = simulator.journal().filter(({ event }) => event === 'prompt_received');
    return received.length === 3 ? received : null; // one of the first test, two of this one
  });
  expect(new Set(accepted.map(({ promptId }) => promptId)).size).toBe(3);
}, 120_000);
