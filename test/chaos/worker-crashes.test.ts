import { beforeAll, expect, test } from '@jest/globals';
import { CRASH_POINTS } from '../../infra/runtime/crash-point.js';
import { inLanes } from '../support/in-lanes.js';
import type { ProcessEnd } from '../support/node-process.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

/** Points that a worker passes on the way of one generation; those of a cancel have a test of their own. */
const ON_THE_WAY = CRASH_POINTS.filter((point) => !/^(acceptGeneration|relayCancel|stopPrompt)\./.test(point));
const WHEN_CANCELLED = CRASH_POINTS.filter((point) => /^(relayCancel|stopPrompt)\./.test(point));

interface Outcome {
  readonly end: ProcessEnd;
  readonly seen: SeenGeneration;
  readonly events: readonly string[];
}

let outcomes: ReadonlyMap<string, Outcome | Error>;

beforeAll(async () => {
  const completed = await inLanes(ON_THE_WAY, async (point) => crashAt(point, 'COMPLETED'));
  const cancelled = await inLanes(WHEN_CANCELLED, async (point) => crashAt(point, 'CANCELLED'));
  outcomes = new Map([...completed, ...cancelled]);
}, 15 * 60_000);

test.each(ON_THE_WAY)('kill -9 of the worker at %s: one prompt, one rendering, one picture', (point) => {
  const { end, seen, events } = outcomeOf(point);
  expect(end.signal).toBe('SIGKILL');
  expect(seen).toMatchObject({ status: 'COMPLETED', attempts: [], outputs: [{ width: 64, height: 64 }] });
  expect(timesOf(events, 'prompt_received')).toBe(1);
  expect(timesOf(events, 'rendering_started')).toBe(1);
  expect(timesOf(events, 'rendering_finished')).toBe(1);
});

test.each(WHEN_CANCELLED)('kill -9 of the worker at %s: the generation ends as CANCELLED, the GPU is free', (point) => {
  const { end, seen, events } = outcomeOf(point);
  expect(end.signal).toBe('SIGKILL');
  expect(seen).toMatchObject({ status: 'CANCELLED', outputs: [] });
  expect(timesOf(events, 'prompt_received')).toBe(1);
  expect(timesOf(events, 'rendering_started')).toBe(1);
});

function outcomeOf(point: string): Outcome {
  const outcome = outcomes.get(point);
  if (outcome === undefined || outcome instanceof Error) throw outcome ?? new Error(`${point} was not tried`);
  return outcome;
}

function timesOf(events: readonly string[], event: string): number {
  return events.filter((each) => each === event).length;
}

/** One generation on a stack of its own, whose worker dies there and is started again; stopping it runs the checker. */
async function crashAt(point: string, status: string): Promise<Outcome> {
  const simulator = await startSimulator({ secondsPerStep: status === 'CANCELLED' ? 0.3 : 0.1 });
  try {
    const service = await startService({ comfyUrls: [simulator.url], firstWorkerEnv: { CRASH_AT: point } });
    try {
      return await crash(service, simulator, status);
    } finally {
      await service.stop();
    }
  } finally {
    await simulator.stop();
  }
}

async function crash(service: Service, simulator: SimulatorProcess, status: string): Promise<Outcome> {
  const steps = status === 'CANCELLED' ? 150 : 15;
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a pier', width: 64, height: 64, steps, seed: 1 },
  });
  if (status === 'CANCELLED') {
    await service.untilStatus(id, 'PROCESSING', 60_000);
    await service.post(`/v1/generations/${id}/cancel`);
  }
  const end = await service.workerEnded();
  await service.startWorker();
  const seen = await service.untilStatus(id, status, 120_000);
  await until('the GPU is free', async () => {
    const events = simulator.journal().map(({ event }) => event);
    return timesOf(events, 'rendering_started') === timesOf(events, 'rendering_finished');
  });
  return { end, seen, events: simulator.journal().map(({ event }) => event) };
}
