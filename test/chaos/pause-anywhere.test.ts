import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { operatorByCommand } from '../support/operators.js';
import type { Operator } from '../support/operators.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { untilStopped } from '../support/until-stopped.js';

/** All of the happy path; what is not heard while the worker stands still is heard by its next attempt. */
const ACTIVITIES = [
  'discoverBackend',
  'submitPrompt',
  'awaitCompletion',
  'downloadOutputs',
  'validateOutputs',
  'uploadOutputs',
  'recordProgress',
  'recordOutcome',
] as const;

let simulator: SimulatorProcess;
let service: Service;
let operator: Operator;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.1 });
  service = await startService({ comfyUrls: [simulator.url] });
  operator = operatorByCommand(service.namespace);
}, 120_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 90_000);

test.each(ACTIVITIES)(
  '%s is paused, reset and continued in the middle of its effect: one prompt, one rendering, one picture',
  async (activity) => {
    await service.killWorker('SIGTERM');
    await service.startWorker({ CRASH_AT: `${activity}.mid:1:SIGSTOP` });
    const before = simulator.journal().length;
    const { id } = await service.submit({
      template: 'sd15-text-to-image',
      parameters: { prompt: activity, width: 64, height: 64, steps: 15, seed: 1 },
    });
    await untilStopped(service.workerPid());
    await operator.pauseActivity(id, activity);
    await operator.resetActivity(id, activity);
    service.signalWorker('SIGCONT');
    await operator.unpauseActivity(id, activity).catch((error: unknown) => {
      if (!/not found|not pending|no.*activit/i.test(String(error))) throw error; // it was done by then
    });
    const seen = await service.untilStatus(id, 'COMPLETED', 90_000);
    expect(seen).toMatchObject({ attempts: [], outputs: [{ width: 64, height: 64 }] });
    const events = simulator
      .journal()
      .slice(before)
      .map(({ event }) => event);
    const counted = ['prompt_received', 'rendering_started', 'rendering_finished', 'interrupt'];
    expect(events.filter((event) => counted.includes(event)).sort()).toEqual([
      'prompt_received',
      'rendering_finished',
      'rendering_started',
    ]);
  },
  150_000,
);
