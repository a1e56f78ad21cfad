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
