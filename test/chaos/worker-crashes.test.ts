import { beforeAll, expect, test } from '@jest/globals';
import { CRASH_POINTS } from '../../infra/runtime/crash-point.js';
import type { CrashPoint } from '../../infra/runtime/crash-point.js';
import { inLanes } from '../support/in-lanes.js';
import type { ProcessEnd } from '../support/node-process.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

/** Points that a worker passes on the way of every generation; what others pass has tests of its own. */
const NOT_ON_THE_WAY =
  /^(acceptGeneration|acceptBatch|relayCancel|stopPrompt|closeGates|cancelOpenGenerations|reopenService|freeMemory|adaptGraph|reserveFal|submitToFal|removeOldFiles|removeExpiredOutputs|removeOldUploads)\./;
const ON_THE_WAY = CRASH_POINTS.filter((point) => !NOT_ON_THE_WAY.test(point));
const WHEN_CANCELLED = CRASH_POINTS.filter((point) => /^(relayCancel|stopPrompt)\./.test(point));

interface Outcome {
  readonly end: ProcessEnd;
  readonly seen: SeenGeneration;
  readonly events: readonly string[];
}

interface Case {
  readonly point: CrashPoint;
  readonly ending: 'COMPLETED' | 'CANCELLED';
  /** `alone`: the GPU worker is another process and lives. */
  readonly control: 'alone' | 'together';
}

const CASES: readonly Case[] = (['together', 'alone'] as const).flatMap((control) => {
  const isKilled = (point: CrashPoint): boolean => control === 'together' || /^(record|relay)/.test(point);
  return [
    ...ON_THE_WAY.filter(isKilled).map((point): Case => ({ point, ending: 'COMPLETED', control })),
    ...WHEN_CANCELLED.filter(isKilled).map((point): Case => ({ point, ending: 'CANCELLED', control })),
  ];
});
/** With more, the longest group would outlast the others. */
const MAX_GROUP = 5;

const nameOf = ({ point, control }: Case) =>
  `kill -9 of ${control === 'alone' ? 'the control worker alone' : 'the worker'} at ${point}`;
const ending = (wanted: string) =>
  CASES.filter((each) => each.ending === wanted).map((each) => ({ ...each, name: nameOf(each) }));

/**
 * `awaitCompletion.mid` comes when a look finds the prompt running: on a busy machine the first look may be early, and the
 * next one is 2.5 s later. What is cancelled needs longer than that.
 */
const STEPS = { COMPLETED: 60, CANCELLED: 150 };
const SECONDS_PER_STEP = { COMPLETED: 0.1, CANCELLED: 0.3 };

let outcomes: ReadonlyMap<string, Outcome | Error>;

/** Cases of one kind share a stack: each start of an API costs a second of processor time. */
const GROUPS = (['together', 'alone'] as const).flatMap((control) =>
  (['COMPLETED', 'CANCELLED'] as const).flatMap((wanted) => {
    const all = CASES.filter((each) => each.control === control && each.ending === wanted);
    const size = Math.ceil(all.length / Math.ceil(all.length / MAX_GROUP));
    return Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
      all.slice(index * size, (index + 1) * size),
    );
  }),
);

beforeAll(async () => {
  const collected = new Map<string, Outcome | Error>();
  const ended = await inLanes(GROUPS, async (group) => crashAll(group, collected));
  for (const [group, problem] of ended) {
    if (problem instanceof Error) for (const each of group) collected.set(nameOf(each), problem);
  }
  outcomes = collected;
}, 15 * 60_000);

test.each(ending('COMPLETED'))('$name: one prompt, one rendering, one picture', ({ name }) => {
  const { end, seen, events } = outcomeOf(name);
  expect(end.signal).toBe('SIGKILL');
  expect(seen).toMatchObject({ status: 'COMPLETED', attempts: [], outputs: [{ width: 64, height: 64 }] });
  expect(timesOf(events, 'prompt_received')).toBe(1);
  expect(timesOf(events, 'rendering_started')).toBe(1);
  expect(timesOf(events, 'rendering_finished')).toBe(1);
});

test.each(ending('CANCELLED'))('$name: the generation ends as CANCELLED, the GPU is free', ({ name }) => {
  const { end, seen, events } = outcomeOf(name);
  expect(end.signal).toBe('SIGKILL');
  expect(seen).toMatchObject({ status: 'CANCELLED', outputs: [] });
  expect(timesOf(events, 'prompt_received')).toBe(1);
  expect(timesOf(events, 'rendering_started')).toBe(1);
});

function outcomeOf(name: string): Outcome {
  const outcome = outcomes.get(name);
  if (outcome === undefined || outcome instanceof Error) throw outcome ?? new Error(`${name} was not tried`);
  return outcome;
}

function timesOf(events: readonly string[], event: string): number {
  return events.filter((each) => each === event).length;
}

/** One generation for each case, on one stack whose worker dies there and is started again. Stopping it runs the checker. */
async function crashAll(group: readonly Case[], collected: Map<string, Outcome | Error>): Promise<void> {
  const [first] = group;
  if (first === undefined) return;
  const simulator = await startSimulator({ secondsPerStep: SECONDS_PER_STEP[first.ending] });
  try {
    const service = await startService({ comfyUrls: [simulator.url], firstWorkerEnv: rolesOf(first) });
    const gpu = first.control === 'alone' ? await service.startOther('gpu', { WORKER_ROLES: 'gpu' }) : null;
    try {
      for (const each of group) {
        const outcome = await crash(service, simulator, each).catch((error: unknown) =>
          error instanceof Error ? error : new Error(String(error)),
        );
        collected.set(nameOf(each), outcome);
      }
    } finally {
      await service.stop();
      await gpu?.end('SIGTERM');
    }
  } finally {
    await simulator.stop();
  }
}

function rolesOf({ control }: Case): Readonly<Record<string, string>> {
  return control === 'alone' ? { WORKER_ROLES: 'control' } : {};
}

async function crash(service: Service, simulator: SimulatorProcess, each: Case): Promise<Outcome> {
  const before = simulator.journal().length;
  const eventsSince = () =>
    simulator
      .journal()
      .slice(before)
      .map(({ event }) => event);
  await service.killWorker('SIGTERM');
  await service.startWorker({ CRASH_AT: each.point, ...rolesOf(each) });
  // With the seed of another case ComfyUI would answer from its cache, and nothing would be seen rendering.
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a pier', width: 64, height: 64, steps: STEPS[each.ending], seed: CASES.indexOf(each) },
  });
  if (each.ending === 'CANCELLED') {
    await service.untilStatus(id, 'PROCESSING', 60_000);
    await service.post(`/v1/generations/${id}/cancel`);
  }
  const end = await service.workerEnded();
  await service.startWorker(rolesOf(each));
  const seen = await service.untilStatus(id, each.ending, 120_000);
  await until('the GPU is free', async () => {
    const events = eventsSince();
    return timesOf(events, 'rendering_started') === timesOf(events, 'rendering_finished');
  });
  return { end, seen, events: eventsSince() };
}
