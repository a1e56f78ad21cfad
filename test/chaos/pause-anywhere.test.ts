import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { operatorByCommand } from '../support/operators.js';
import type { Operator } from '../support/operators.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { untilStopped } from '../support/until-stopped.js';

/** Those that Temporal can pause: it does not know of `recordProgress`, which is a local activity. */
const ACTIVITIES = [
  'discoverBackend',
  'submitPrompt',
  'awaitCompletion',
  'downloadOutputs',
  'validateOutputs',
  'uploadOutputs',
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
    // The middle of `awaitCompletion` is a look that finds the prompt running, and looks are 2.5 s apart.
    const { id } = await service.submit({
      template: 'sd15-text-to-image',
      parameters: { prompt: activity, width: 64, height: 64, steps: activity === 'awaitCompletion' ? 60 : 15, seed: 1 },
    });
    await untilStopped(service.workerPid());
    try {
      await operator.pauseActivity(id, activity);
      await operator.resetActivity(id, activity); // which also ends the pause
      await operator.pauseActivity(id, activity);
    } finally {
      service.signalWorker('SIGCONT');
    }
    // The attempt that was under way may end by itself, pause or not; then there is nothing left to continue.
    await operator.unpauseActivity(id, activity).catch((error: unknown) => {
      if (!/Can't find pending activity|execution already completed/.test(String(error))) throw error;
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
