import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { until } from '../support/until.js';
import { processorTimeMs } from './processor-time.js';
import { gapsIn } from './gpu-gaps.js';
import { medianSteps, stepsOf } from './history-profile.js';
import { quantile, spreadOf } from './quantile.js';
import { busyShareOf, changesIn, renderingsIn } from './renderings.js';
import { timeCalls, timingOf } from './timing.js';

test('a quantile is one of the values, by the nearest rank', () => {
  const values = [9, 1, 5, 3, 7];
  expect([0, 0.5, 0.95, 1].map((part) => quantile(values, part))).toEqual([1, 5, 9, 9]);
  expect(spreadOf(Array.from({ length: 100 }, (_, index) => index + 1))).toEqual({ p50: 50, p95: 95 });
  expect(quantile([], 0.5)).toBeNaN();
});

test('the GPU is idle from the end of a rendering to the beginning of the next, whatever lies between', () => {
  const at = (ms: number) => new Date(ms).toISOString();
  const gaps = gapsIn([
    { at: at(0), event: 'rendering_started' },
    { at: at(900), event: 'prompt_received' },
    { at: at(1_000), event: 'rendering_finished' },
    { at: at(1_004), event: 'view' },
    { at: at(1_012), event: 'rendering_started' },
    { at: at(2_000), event: 'rendering_finished' },
    { at: at(2_000), event: 'rendering_started' },
    { at: at(3_000), event: 'rendering_finished' },
  ]);
  expect(gaps).toEqual([12, 0]);
});

test('a history tells how long each activity waited and ran, and what is left is the Workflow’s', () => {
  const event = { scheduled: null, scheduledEventId: null, isStart: false };
  const steps = stepsOf([
    { ...event, id: 1, atMs: 0 },
    { ...event, id: 5, atMs: 20, scheduled: 'submitPrompt' },
    { ...event, id: 6, atMs: 24, scheduledEventId: 5, isStart: true },
    { ...event, id: 7, atMs: 54, scheduledEventId: 5 },
    { ...event, id: 8, atMs: 60 },
  ]);
  expect(steps).toEqual([
    { name: 'submitPrompt', waitMs: 4, runMs: 30 },
    { name: 'Workflow Tasks', waitMs: 0, runMs: 26 },
  ]);
  const [submit] = medianSteps([steps, steps, [{ name: 'submitPrompt', waitMs: 100, runMs: 1 }]]);
  expect(submit).toEqual({ name: 'submitPrompt', waitMs: 4, runMs: 30 });
});

test('calls run at most as many at a time as asked, each once, and are counted per second of their laps', async () => {
  let open = 0;
  let most = 0;
  const numbers: number[] = [];
  const lap = await timeCalls(
    async (number) => {
      numbers.push(number);
      open += 1;
      most = Math.max(most, open);
      await new Promise(setImmediate);
      open -= 1;
    },
    { count: 10, concurrency: 3 },
  );
  expect(numbers.sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(most).toBe(3);
  expect(lap.durationsMs).toHaveLength(10);
  const timing = timingOf([
    { durationsMs: [10, 20], wallMs: 500, processorMs: 60 },
    { durationsMs: [30, 40], wallMs: 1_500, processorMs: 100 },
  ]);
  expect(timing).toEqual({ p50: 20, p95: 40, perSecond: 2, processorMs: 40 });
});

test('a GPU is busy while something renders, between its first start and its last end; what has not ended does not count', () => {
  const at = (ms: number) => new Date(ms).toISOString();
  const renderings = renderingsIn([
    { at: at(1_000), event: 'rendering_started', promptId: 'a' },
    { at: at(2_000), event: 'rendering_finished', promptId: 'a' },
    { at: at(3_000), event: 'rendering_started', promptId: 'b' },
    { at: at(3_500), event: 'node_executed', promptId: 'b' },
    { at: at(5_000), event: 'rendering_finished', promptId: 'b' },
    { at: at(5_100), event: 'rendering_started', promptId: 'c' },
  ]);
  expect(renderings.map(({ promptId }) => promptId)).toEqual(['a', 'b']);
  expect(busyShareOf(renderings)).toBe(0.75);
  expect(busyShareOf([])).toBeNaN();
});

test('a model is changed when the next is another one; loading the first is no change', () => {
  expect(changesIn([])).toBe(0);
  expect(changesIn(['a', 'a', 'b', 'b', 'a'])).toBe(2);
});

test('processor time counts the processes that were started, too', async () => {
  const before = processorTimeMs() ?? 0;
  const child = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
  await until('it has worked', async () => (processorTimeMs() ?? 0) > before + 200);
  child.kill('SIGKILL');
  await once(child, 'exit');
});
