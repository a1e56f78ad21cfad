import { setTimeout } from 'node:timers/promises';
import { afterEach, expect, test } from '@jest/globals';
import { SIMULATOR_KEY } from '../../infra/simulators/fal/options.js';
import { arm } from '../activities/support/simulators.js';
import { buildGraph, queued } from '../activities/support/prompts.js';
import { armFal, falEvents, startFal } from '../support/fal-process.js';
import type { FalProcess } from '../support/fal-process.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

interface World {
  readonly service: Service;
  comfyui: SimulatorProcess;
  readonly fal: FalProcess;
}

let world: World | null = null;

afterEach(async () => {
  const here = world;
  world = null;
  await here?.service.stop();
  await Promise.all([here?.comfyui.stop(), here?.fal.stop()]);
}, 90_000);

const SOON = { FALLBACK_AFTER_SECONDS: '3' };

async function start(
  env: Readonly<Record<string, string>> = {},
  options: { readonly hasKey?: boolean; readonly seconds?: number; readonly runners?: number } = {},
): Promise<World> {
  const { hasKey = true, seconds = 0, runners = 1 } = options;
  const [comfyui, fal] = await Promise.all([startSimulator(), startFal({ seconds, runners })]);
  const key: Readonly<Record<string, string>> = hasKey ? { FAL_KEY: SIMULATOR_KEY } : {};
  const service = await startService({
    comfyUrls: [comfyui.url],
    env: { ...SOON, ...key, FAL_QUEUE_URL: fal.url, ...env },
  });
  world = { service, comfyui, fal };
  return world;
}

const REQUEST = {
  template: 'sd15-text-to-image',
  parameters: { prompt: 'a heron', width: 512, height: 384, seed: 7, steps: 5, batch_size: 2 },
};

async function submit({ service }: World, extra: object = {}): Promise<string> {
  return (await service.submit({ ...REQUEST, ...extra })).id;
}

/** ComfyUI dies while it loads the text encoder, and nobody starts it again. */
async function crashAtClip({ comfyui }: World): Promise<void> {
  await arm(comfyui, { kind: 'crash', nodeType: 'CLIPTextEncode' });
}

const postedTo = (fal: FalProcess) => falEvents(fal, 'submitted');

async function pictureOf({ service }: World, { outputs }: SeenGeneration): Promise<Buffer> {
  const [output] = outputs;
  return Buffer.from(await (await fetch(`${service.apiUrl}${output?.url ?? ''}`)).arrayBuffer());
}

/** What the caller sees once it is told why fal.ai does not take what waits. */
async function untilObstacle({ service }: World, id: string, why: RegExp): Promise<SeenGeneration> {
  const isTold = async () => {
    const seen = (await (await fetch(`${service.apiUrl}/v1/generations/${id}`)).json()) as SeenGeneration;
    return why.test(seen.fallbackObstacle ?? '') ? seen : null;
  };
  return until(`${id} says why it waits`, isTold, 60_000);
}

/** Of a generation that has ended. */
async function eventsOf({ service }: World, id: string): Promise<string> {
  return (await fetch(`${service.apiUrl}/v1/generations/${id}/events`)).text();
}

/** When it was told that no backend is healthy, in milliseconds since the epoch. */
async function toldAtMs({ service }: World, id: string): Promise<number[]> {
  const { events } = await service.temporal.workflow.getHandle(`generation/${id}`).fetchHistory();
  return (events ?? [])
    .filter((event) => event.workflowExecutionSignaledEventAttributes?.signalName === 'noBackend')
    .map(({ eventTime }) => Number(eventTime?.seconds) * 1_000);
}

test('R1.1 R1.2 R1.6 ComfyUI that dies for good: fal.ai delivers the same request, once, and the caller sees why', async () => {
  const here = await start();
  await crashAtClip(here);
  const id = await submit(here);
  const seen = await here.service.untilStatus(id, 'COMPLETED', 60_000);
  expect(seen).toMatchObject({
    provider: 'fal',
    delivered: {
      width: 512,
      height: 384,
      seed: 7,
      steps: 5,
      batch_size: 2,
      model: 'fal-ai/stable-diffusion-v15',
      sampler: null,
    },
    outputs: [
      { width: 512, height: 384 },
      { width: 512, height: 384 },
    ],
  });
  expect(seen.attempts.at(-1)).toMatchObject({
    strategy: 'fal',
    message: 'ComfyUI backend failed. Auto-switching to fal.ai',
    success: true,
  });
  expect(postedTo(here.fal)).toHaveLength(1);
  const picture = await pictureOf(here, seen);
  expect(picture.subarray(1, 4).toString()).toBe('PNG');
  expect(await eventsOf(here, id)).toContain('Successfully switched to fal.ai');
}, 120_000);

/**
 * Milliseconds until a ComfyUI that died answers again. A real one imports torch for longer; one that is back before anybody
 * looks, and has never finished anything, cannot be told from one that lost a prompt.
 */
const RESTART_MS = 5_000;

/** Somebody starts ComfyUI again whenever it dies, and each time it dies while it loads the text encoder. */
async function crashAtClipForEver(here: World): Promise<void> {
  await crashAtClip(here);
  const { port, dataDir, ended } = here.comfyui;
  void ended.then(async () => {
    await setTimeout(RESTART_MS);
    if (world !== here) return; // the test is over
    here.comfyui = await startSimulator({ port, dataDir });
    await crashAtClipForEver(here);
  });
}

/** The one that is left out of two crashes is not met a third time. */
const TWO_CRASHES = [
  { kind: 'BACKEND_CRASHED', strategy: 'wait_and_resubmit' },
  { kind: 'BACKEND_CRASHED', strategy: 'fal' },
];
const started = ({ comfyui }: World) => comfyui.journal().filter(({ event }) => event === 'rendering_started');
const PATIENT = { FALLBACK_AFTER_SECONDS: '60' };

test('R1.1 R1.3 ComfyUI that dies at CLIP on every try: after two crashes fal.ai delivers, once', async () => {
  const here = await start(PATIENT);
  await crashAtClipForEver(here);
  const seen = await here.service.untilStatus(await submit(here), 'COMPLETED', 120_000);
  expect(seen).toMatchObject({ provider: 'fal', attempts: TWO_CRASHES });
  expect(seen.outputs).toHaveLength(2);
  expect(started(here)).toHaveLength(2);
  expect(postedTo(here.fal)).toHaveLength(1);
}, 180_000);

test('R1.5 ComfyUI that dies at CLIP on every try, and no key: the crash is named, and how to set one', async () => {
  const here = await start(PATIENT, { hasKey: false });
  await crashAtClipForEver(here);
  const seen = await here.service.untilStatus(await submit(here), 'FAILED', 120_000);
  expect(seen).toMatchObject({ error: { kind: 'BACKEND_CRASHED' }, attempts: TWO_CRASHES.slice(0, 1) });
  expect(seen.error?.detail).toMatch(/Cannot auto-fallback: no fal.ai key is set.*set FAL_KEY/);
  expect(started(here)).toHaveLength(2);
}, 180_000);

test('R1.5 R1.7 ComfyUI that dies at CLIP on every try, and a fal.ai that fails: both causes are named', async () => {
  const here = await start(PATIENT);
  await crashAtClipForEver(here);
  await armFal(here.fal, { kind: 'error_in_completed' });
  const seen = await here.service.untilStatus(await submit(here), 'FAILED', 120_000);
  expect(seen).toMatchObject({ error: { kind: 'BACKEND_CRASHED' }, attempts: TWO_CRASHES });
  expect(seen.error?.detail).toMatch(/ComfyUI.*Fallback backend also failed: .*fal\.ai/);
  expect(postedTo(here.fal)).toHaveLength(1);
}, 180_000);

test('R1.2 CUDA_OOM that nothing here cures: fal.ai delivers what was asked for', async () => {
  const here = await start(PATIENT);
  const card = { method: 'POST', body: JSON.stringify({ gib: 2 }) };
  await fetch(`${here.comfyui.url}/simulator/vram`, card);
  const seen = await here.service.untilStatus(await submit(here), 'COMPLETED', 120_000);
  expect(seen).toMatchObject({ provider: 'fal', delivered: { width: 512, height: 384, steps: 5, batch_size: 2 } });
  const strategies = seen.attempts.map(({ strategy }) => strategy);
  expect(strategies).toEqual(['free_memory', 'split_batch', 'tiled_decode', 'free_all', 'fal']);
  expect(seen.outputs).toHaveLength(2);
  expect(postedTo(here.fal)).toHaveLength(1);
}, 180_000);

test('R1.5 without a key the error says so, and how to set it', async () => {
  const here = await start({ START_DEADLINE_SECONDS: '20' }, { hasKey: false });
  await here.comfyui.kill('SIGKILL');
  const seen = await here.service.untilStatus(await submit(here), 'FAILED', 60_000);
  expect(seen.error).toMatchObject({ kind: 'NO_CAPACITY' });
  expect(seen.error?.detail).toMatch(/Cannot auto-fallback: no fal.ai key is set.*set FAL_KEY/);
  expect(postedTo(here.fal)).toEqual([]);
}, 120_000);

test('R1.5 R1.7 when fal.ai fails too, both causes are named', async () => {
  const here = await start();
  await here.comfyui.kill('SIGKILL');
  await armFal(here.fal, { kind: 'error_in_completed' });
  const seen = await here.service.untilStatus(await submit(here), 'FAILED', 60_000);
  expect(seen.error).toMatchObject({ kind: 'NO_CAPACITY' });
  expect(seen.error?.detail).toMatch(/No ComfyUI answers.*Fallback backend also failed: .*fal\.ai/);
  expect(seen.attempts.map(({ strategy }) => strategy)).toEqual(['fal']);
  expect(postedTo(here.fal)).toHaveLength(1);
}, 120_000);

test('R1.4 comfyui-only never pays, fal never renders here, and a busy GPU is waited for', async () => {
  const here = await start({ START_DEADLINE_SECONDS: '30' });
  const onFal = await here.service.untilStatus(await submit(here, { provider: 'fal' }), 'COMPLETED', 30_000);
  expect(onFal).toMatchObject({ provider: 'fal', attempts: [] });
  expect(here.comfyui.journal().filter(({ event }) => event === 'prompt_queued')).toEqual([]);

  const busy = await Promise.all([1, 2, 3].map(async () => submit(here, { provider: 'comfyui' })));
  for (const id of busy) {
    expect(await here.service.untilStatus(id, 'COMPLETED', 60_000)).toMatchObject({ provider: 'comfyui' });
  }
  await here.comfyui.kill('SIGKILL');
  const seen = await here.service.untilStatus(await submit(here, { provider: 'comfyui-only' }), 'FAILED', 60_000);
  expect(seen.error).toMatchObject({ kind: 'NO_CAPACITY' });
  expect(postedTo(here.fal)).toHaveLength(1);
}, 180_000);

test('a cancel is passed on to fal.ai, whose queue position the caller saw', async () => {
  const here = await start({}, { seconds: 60 });
  const first = await submit(here, { provider: 'fal' });
  await until('it runs', async () => falEvents(here.fal, 'started').length > 0);
  const second = await submit(here, { provider: 'fal' });
  await until('its place is shown', async () => {
    const { progress } = (await here.service.get(second)) as { progress: { queuePosition?: number } | null };
    return progress?.queuePosition === 0;
  });
  for (const id of [second, first]) {
    await here.service.post(`/v1/generations/${id}/cancel`);
    await here.service.untilStatus(id, 'CANCELLED', 30_000);
  }
  expect(falEvents(here.fal, 'cancelled').length).toBeGreaterThanOrEqual(1);
}, 120_000);

test('what is over a ceiling is not posted, and the error says which', async () => {
  const here = await start({ FAL_MAX_USD_PER_DAY: '0.03' });
  await here.service.untilStatus(await submit(here, { provider: 'fal' }), 'COMPLETED', 30_000); // 0.02
  const seen = await here.service.untilStatus(await submit(here, { provider: 'fal' }), 'FAILED', 30_000);
  expect(seen.provider).toBe('fal'); // although it never ran there
  expect(seen.error?.detail).toMatch(/0\.02 US\$ are set aside .* FAL_MAX_USD_PER_DAY is 0\.03/);
  expect(seen.error).toMatchObject({ title: 'fal.ai may not be asked for this generation', retryable: true });
  const over = { ...REQUEST.parameters, batch_size: 4 }; // more than a whole day has room for
  const hopeless = await submit(here, { provider: 'fal', parameters: over });
  expect((await here.service.untilStatus(hopeless, 'FAILED', 30_000)).error).toMatchObject({ retryable: false });
  expect(postedTo(here.fal)).toHaveLength(1);
}, 120_000);

test('what fal.ai alone has caused is told in words about fal.ai: its policy, its runner', async () => {
  const here = await start();
  const failed = async () => here.service.untilStatus(await submit(here, { provider: 'fal' }), 'FAILED', 30_000);
  await armFal(here.fal, { kind: '422' });
  expect((await failed()).error).toMatchObject({ kind: 'WORKFLOW_ERROR', title: 'fal.ai refused the request' });
  await armFal(here.fal, { kind: 'error_in_completed' });
  const runner = { kind: 'NETWORK_ERROR', title: 'fal.ai failed, or the connection to it', retryable: true };
  expect((await failed()).error).toMatchObject(runner);
}, 120_000);

test('a key that fal.ai refuses is named as such, and no ComfyUI', async () => {
  const here = await start({ FAL_KEY: 'not:ours' });
  const { error } = await here.service.untilStatus(await submit(here, { provider: 'fal' }), 'FAILED', 30_000);
  expect(error).toMatchObject({ kind: 'ENVIRONMENT', title: 'The key for fal.ai is missing or refused' });
  expect(JSON.stringify(error)).not.toMatch(/ComfyUI|PyTorch|not:ours/);
}, 120_000);

test('R1.2 what has failed on one backend, and waits for the only other, falls back when that one goes down', async () => {
  const here = await start({ BACKEND_ID: 'one', PREFETCH: '0' });
  const other = await startSimulator({ secondsPerStep: 1 });
  const second = await here.service.startOther('two', {
    ...{ COMFYUI_URL: other.url, BACKEND_ID: 'two', WORKER_ROLES: 'gpu' },
  });
  try {
    await queued(other.url, buildGraph({ steps: 200 })); // a stranger's, which keeps the generation from it
    await arm(here.comfyui, { kind: 'environment', count: 1 });
    const id = await submit(here);
    await here.service.untilStatus(id, 'RECOVERING', 60_000);
    await other.kill('SIGKILL');
    const seen = await here.service.untilStatus(id, 'COMPLETED', 60_000);
    expect(seen.provider).toBe('fal');
    expect(seen.attempts).toMatchObject([
      { kind: 'ENVIRONMENT', strategy: 'other_backend' },
      { kind: 'NO_CAPACITY', strategy: 'fal' },
    ]);
    expect(started(here)).toHaveLength(1); // "one" is healthy all the while
    expect(postedTo(here.fal)).toHaveLength(1);
  } finally {
    await second.end('SIGTERM');
    await other.stop();
  }
}, 180_000);

test('R1.2 the time for a fallback runs from the crash of the last backend, and the crash stays in the error', async () => {
  const seconds = 20;
  const here = await start({ FALLBACK_AFTER_SECONDS: `${seconds}` });
  await crashAtClip(here);
  await armFal(here.fal, { kind: 'error_in_completed' });
  const id = await submit(here);
  const seen = await here.service.untilStatus(id, 'FAILED', 120_000);
  expect(seen).toMatchObject({
    attempts: [
      { kind: 'BACKEND_CRASHED', strategy: 'wait_and_resubmit', success: false },
      { kind: 'NO_CAPACITY', strategy: 'fal', success: false },
    ],
  });
  expect(seen.error?.detail).toMatch(/No ComfyUI answers.* Before: .*Fallback backend also failed: .*fal\.ai/);
  const [crashed] = here.comfyui.journal().filter(({ event }) => event === 'fault');
  const [told = 0] = await toldAtMs(here, id);
  const waitedSeconds = (told - Date.parse(crashed?.at ?? '')) / 1_000;
  expect(waitedSeconds).toBeGreaterThanOrEqual(seconds - 1); // Temporal's time is of the whole second
  expect(waitedSeconds).toBeLessThan(2 * seconds);
}, 180_000);

test('a key that fal.ai refuses ends nothing that waits: it says so, and a ComfyUI that comes back renders it', async () => {
  const here = await start({ FAL_KEY: 'wrong:key' });
  const { port, dataDir } = here.comfyui;
  await here.comfyui.kill('SIGKILL');
  const id = await submit(here);
  const waiting = await untilObstacle(here, id, /refused the key in FAL_KEY/);
  expect(waiting).toMatchObject({ status: 'QUEUED', provider: 'comfyui', error: null });
  const revived = await startSimulator({ port, dataDir });
  try {
    const seen = await here.service.untilStatus(id, 'COMPLETED', 60_000);
    expect(seen).toMatchObject({ provider: 'comfyui', fallbackObstacle: null });
    expect(seen.attempts).toMatchObject([{ kind: 'NO_CAPACITY', strategy: 'fal', success: false }]);
    expect(await eventsOf(here, id)).toContain('no_fallback');
    expect(postedTo(here.fal)).toEqual([]);
  } finally {
    await revived.stop();
  }
}, 150_000);

test('over a ceiling a generation goes on waiting for a ComfyUI, and one that comes back renders it', async () => {
  const here = await start({ FAL_MAX_USD_PER_GENERATION: '0.01' }); // the two pictures may cost 0.02
  const { port, dataDir } = here.comfyui;
  await here.comfyui.kill('SIGKILL');
  const id = await submit(here);
  const waiting = await untilObstacle(here, id, /FAL_MAX_USD_PER_GENERATION is 0\.01/);
  expect(waiting).toMatchObject({ status: 'QUEUED', attempts: [] });
  const revived = await startSimulator({ port, dataDir });
  try {
    const seen = await here.service.untilStatus(id, 'COMPLETED', 60_000);
    expect(seen).toMatchObject({ provider: 'comfyui', attempts: [] });
    expect(postedTo(here.fal)).toEqual([]);
  } finally {
    await revived.stop();
  }
}, 150_000);

test('a worker that is killed while fal.ai renders leaves it to its successor, which posts nothing', async () => {
  const here = await start({}, { seconds: 6 });
  const id = await submit(here, { provider: 'fal' });
  await here.service.untilStatus(id, 'PROCESSING');
  await here.service.killWorker();
  await here.service.startWorker();
  expect(await here.service.untilStatus(id, 'COMPLETED', 60_000)).toMatchObject({ provider: 'fal' });
  expect(postedTo(here.fal)).toHaveLength(1);
}, 120_000);
