import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { SIMULATOR_KEY } from '../../infra/simulators/fal/options.js';
import { arm } from '../activities/support/simulators.js';
import { falEvents, startFal } from '../support/fal-process.js';
import type { FalProcess } from '../support/fal-process.js';
import { renderedOn } from '../support/journal-renderings.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

/** Three cards of different speed and memory; each test takes one of them away, the last one what is left. */
const CARDS = [
  { gib: 8, secondsPerStep: 0.02 },
  { gib: 12, secondsPerStep: 0.03 },
  { gib: 24, secondsPerStep: 0.05 },
];
const FALLBACK_SECONDS = 5;
const START_SECONDS = 30;
const HELD_MS = 3_000;

let alive: readonly SimulatorProcess[] = [];
let all: readonly SimulatorProcess[] = [];
let fal: FalProcess;
let service: Service;

beforeAll(async () => {
  all = await Promise.all(
    CARDS.map(async ({ gib, secondsPerStep }) =>
      startSimulator({ secondsPerStep, extraArgs: ['--device', 'cuda', '--vram-gib', String(gib)] }),
    ),
  );
  alive = all;
  fal = await startFal();
  service = await startService({
    comfyUrls: all.map(({ url }) => url),
    env: {
      ...{ FAL_KEY: SIMULATOR_KEY, FAL_QUEUE_URL: fal.url, FALLBACK_AFTER_SECONDS: String(FALLBACK_SECONDS) },
      ...{ PREFETCH: '0', START_DEADLINE_SECONDS: String(START_SECONDS) },
    },
  });
}, 120_000);

afterAll(async () => {
  await service.stop();
  await Promise.all([...all, fal].map(async (simulator) => simulator.stop()));
}, 90_000);

let seed = 0;
async function submit(steps: number, more: object = {}): Promise<string> {
  seed += 1;
  const parameters = { prompt: 'a heron', width: 64, height: 64, steps, seed };
  return (await service.submit({ template: 'sd15-text-to-image', parameters, ...more })).id;
}

const completed = async (id: string): Promise<SeenGeneration> => service.untilStatus(id, 'COMPLETED', 120_000);
const journalOf = (id: string) => all.map((simulator) => renderedOn(simulator, [id]).length);
const finishedIn = (simulator: SimulatorProcess): number =>
  simulator.journal().filter(({ event }) => event === 'rendering_finished').length;

async function falls(simulator: SimulatorProcess): Promise<void> {
  alive = alive.filter((other) => other !== simulator);
  await simulator.kill('SIGKILL');
}

test('R4.3 a backend that falls ill between two generations: the next ones go elsewhere, and each is rendered once', async () => {
  const first = await submit(5);
  await completed(first);
  const ill = all.find((simulator) => renderedOn(simulator, [first]).length > 0);
  if (ill === undefined) throw new Error('nobody has rendered the first one');
  await falls(ill);
  const next = await Promise.all([submit(5), submit(5), submit(5)]);
  for (const id of next) expect(await completed(id)).toMatchObject({ provider: 'comfyui' });
  expect(renderedOn(ill, next)).toEqual([]);
  expect(alive.flatMap((simulator) => renderedOn(simulator, next)).sort()).toEqual([...next].sort());
}, 180_000);

test('R4.3 a backend that falls ill while a generation is claimed, and not yet posted: it goes elsewhere, and is rendered once', async () => {
  for (const simulator of alive) {
    await arm(simulator, { kind: 'slow_rest', path: '/prompt', method: 'POST', delayMs: HELD_MS, count: 1 });
  }
  const id = await submit(5);
  const holds = (simulator: SimulatorProcess): boolean =>
    simulator.journal().some((entry) => entry.event === 'fault' && entry['path'] === '/api/prompt');
  const ill = await until('it is being posted', async () => alive.find(holds) ?? null, 30_000);
  await falls(ill);
  expect(await completed(id)).toMatchObject({ provider: 'comfyui' });
  expect(renderedOn(ill, [id])).toEqual([]);
  expect(journalOf(id).reduce((sum, times) => sum + times)).toBe(1);
}, 180_000);

test('R4.3 a backend that falls ill while it renders: the work goes on elsewhere, and one rendering is finished', async () => {
  // Where two are gone already, one of them comes back first: the work needs a place to go.
  const [back] = all.filter((simulator) => !alive.includes(simulator));
  if (back === undefined) throw new Error('nobody has fallen ill');
  const { port, dataDir } = back;
  const again = await startSimulator({ port, dataDir, secondsPerStep: 0.02 });
  all = all.map((simulator) => (simulator === back ? again : simulator));
  alive = [...alive, again];
  const before = all.map(finishedIn);
  const id = await submit(150);
  await service.untilStatus(id, 'PROCESSING', 60_000);
  const ill = await until('somebody renders it', async () => alive.find((each) => renderedOn(each, [id]).length > 0));
  await falls(ill);
  const seen = await completed(id);
  expect(seen.attempts).toMatchObject([{ kind: 'BACKEND_CRASHED' }]);
  const finished = all.map((simulator, index) => finishedIn(simulator) - (before[index] ?? 0));
  expect(finished.reduce((sum, times) => sum + times)).toBe(1);
}, 240_000);

test('R2.2 all of them ill: what may not be paid for waits for its start deadline, what may falls back before', async () => {
  await Promise.all(alive.map(falls));
  const [waiting, paid] = await Promise.all([submit(5, { provider: 'comfyui-only' }), submit(5)]);
  expect(await completed(paid)).toMatchObject({ provider: 'fal' });
  expect(falEvents(fal, 'submitted')).toHaveLength(1);
  expect(await service.get(waiting)).toMatchObject({ status: 'QUEUED' });
  const seen = await service.untilStatus(waiting, 'FAILED', 2 * START_SECONDS * 1_000);
  expect(seen.error?.kind).toBe('NO_CAPACITY');
  for (const { url } of all) expect(seen.error?.detail).toContain(new URL(url).host);
}, 180_000);
