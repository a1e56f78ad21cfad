import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import { SIMULATOR_KEY } from '../../infra/simulators/fal/options.js';
import { falEvents, startFal } from '../support/fal-process.js';
import { inLanes } from '../support/in-lanes.js';
import { startService } from '../support/service.js';
import type { SeenGeneration } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';

/** What is left of one generation after its worker died in the middle of a recovery and was started again. */
interface Outcome {
  readonly signal: NodeJS.Signals | null;
  readonly seen: SeenGeneration;
  /** Pictures in the folder of ComfyUI, or requests that fal.ai was sent. */
  readonly made: number;
}

/** Four pictures that fit in two prompts of two: out of memory twice, then each half. */
const BATCH = { prompt: 'a quay', width: 512, height: 512, steps: 20, seed: 1, batch_size: 4 };
const CARD_GIB = 5;

const IN_THE_LADDER = [
  ...['freeMemory.before', 'freeMemory.mid', 'freeMemory.after'],
  ...['adaptGraph.before', 'adaptGraph.mid', 'adaptGraph.after'],
  'uploadOutputs.mid', // the first part is stored and nobody knows
  'uploadOutputs.after', // between the parts
  'submitPrompt.mid:4', // the second part
];
/** Not `reserveFal.after`: by then the request is being posted, and whether it has arrived nobody knows. */
const BEFORE_FAL = ['reserveFal.before', 'reserveFal.mid', 'submitToFal.before', 'submitToFal.after'];
/** fal.ai has the request, and the worker dies with its id. */
const WHILE_POSTING = 'submitToFal.mid';

let outcomes: ReadonlyMap<string, Outcome | Error>;

beforeAll(async () => {
  outcomes = await inLanes([...IN_THE_LADDER, ...BEFORE_FAL, WHILE_POSTING], async (point) =>
    IN_THE_LADDER.includes(point) ? crashInLadder(point) : crashBeforeFal(point),
  );
}, 10 * 60_000);

function outcomeAt(point: string): Outcome {
  const outcome = outcomes.get(point);
  if (outcome === undefined || outcome instanceof Error) throw outcome ?? new Error(`${point} was not tried`);
  return outcome;
}

test.each(IN_THE_LADDER)('R5.2 kill -9 at %s: all pictures that were asked for, each rendered once', (point) => {
  const { signal, seen, made } = outcomeAt(point);
  expect(signal).toBe('SIGKILL');
  expect(seen.attempts.map(({ strategy }) => strategy)).toEqual(['free_memory', 'split_batch']);
  expect(seen.outputs.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  expect(made).toBe(4);
});

test.each(BEFORE_FAL)('R1.6 kill -9 at %s: fal.ai is asked once, and delivers', (point) => {
  const { signal, seen, made } = outcomeAt(point);
  expect(signal).toBe('SIGKILL');
  expect(seen).toMatchObject({ status: 'COMPLETED', provider: 'fal' });
  expect(made).toBe(1);
});

test(`R1.6 kill -9 at ${WHILE_POSTING}: what may be paid for is not posted again, and the caller is told`, () => {
  const { signal, seen, made } = outcomeAt(WHILE_POSTING);
  expect(signal).toBe('SIGKILL');
  expect(seen.status).toBe('FAILED');
  expect(seen.error?.detail).toContain('It is not known whether fal.ai took the request');
  expect(made).toBe(1);
});

async function crashInLadder(point: string): Promise<Outcome> {
  const simulator = await startSimulator({ extraArgs: ['--vram-gib', String(CARD_GIB)] });
  try {
    const service = await startService({ comfyUrls: [simulator.url], firstWorkerEnv: { CRASH_AT: point } });
    try {
      const { id } = await service.submit({ template: 'sd15-text-to-image', parameters: BATCH });
      const { signal } = await service.workerEnded();
      await service.startWorker();
      const seen = await service.untilStatus(id, 'COMPLETED', 120_000);
      return { signal, seen, made: picturesIn(join(simulator.dataDir, 'output', 'dg', id)) };
    } finally {
      await service.stop(); // runs the checker
    }
  } finally {
    await simulator.stop();
  }
}

async function crashBeforeFal(point: string): Promise<Outcome> {
  const [simulator, fal] = await Promise.all([startSimulator(), startFal({ seconds: 0, runners: 1 })]);
  try {
    const env = { FAL_KEY: SIMULATOR_KEY, FAL_QUEUE_URL: fal.url };
    const service = await startService({ comfyUrls: [simulator.url], env, firstWorkerEnv: { CRASH_AT: point } });
    try {
      const parameters = { ...BATCH, batch_size: 1 };
      const { id } = await service.submit({ template: 'sd15-text-to-image', provider: 'fal', parameters });
      const { signal } = await service.workerEnded();
      await service.startWorker();
      const seen = await service.untilStatus(id, point === WHILE_POSTING ? 'FAILED' : 'COMPLETED', 120_000);
      return { signal, seen, made: falEvents(fal, 'submitted').length };
    } finally {
      await service.stop();
    }
  } finally {
    await Promise.all([simulator.stop(), fal.stop()]);
  }
}

function picturesIn(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.png')).length;
}
