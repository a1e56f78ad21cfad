import { afterEach, expect, test } from '@jest/globals';
import pg from 'pg';
import sharp from 'sharp';
import { buildGraph, queued } from '../activities/support/prompts.js';
import { arm } from '../activities/support/simulators.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

interface World {
  readonly service: Service;
  readonly simulators: readonly SimulatorProcess[];
}

let world: World | null = null;

afterEach(async () => {
  await world?.service.stop();
  await Promise.all((world?.simulators ?? []).map(async (simulator) => simulator.stop()));
  world = null;
}, 90_000);

/** A service with a ComfyUI for each card, its memory in GiB; `null`: there is always enough. */
async function start(
  cardsGib: readonly (number | null)[],
  ...[env = {}, secondsPerStep = 0]: [env?: Readonly<Record<string, string>>, secondsPerStep?: number]
): Promise<World> {
  const simulators = await Promise.all(
    cardsGib.map(async (gib) =>
      startSimulator({
        secondsPerStep,
        extraArgs: gib === null ? [] : ['--device', 'cuda', '--vram-gib', String(gib)],
      }),
    ),
  );
  const service = await startService({ comfyUrls: simulators.map(({ url }) => url), env });
  world = { service, simulators };
  return world;
}

async function submit({ service }: World, parameters: object, recovery?: object): Promise<SeenGeneration> {
  return service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a heron', seed: 3, steps: 30, ...parameters },
    ...(recovery !== undefined && { recovery }),
  });
}

const strategiesOf = ({ attempts }: SeenGeneration) => attempts.map(({ strategy }) => strategy);

function countOf(simulator: SimulatorProcess | undefined, wanted: string): number {
  return simulator?.journal().filter(({ event }) => event === wanted).length ?? 0;
}

/** The pixels of every picture: its file also carries the graph. */
async function pixelsOf({ service }: World, { outputs }: SeenGeneration): Promise<readonly string[]> {
  return Promise.all(
    outputs.map(async ({ url }) => {
      const file = await (await fetch(`${service.apiUrl}${url}`)).arrayBuffer();
      return (await sharp(Buffer.from(file)).raw().toBuffer()).toString('base64');
    }),
  );
}

interface CheckpointRow {
  readonly attempt: number;
  readonly progress_percent: number;
  readonly completed_nodes: readonly string[];
  readonly graph_key: string;
  readonly files: readonly string[];
}

async function checkpointsOf({ service }: World, id: string): Promise<readonly CheckpointRow[]> {
  const client = new pg.Client({ connectionString: service.databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<CheckpointRow>('SELECT * FROM checkpoints WHERE generation_id = $1', [id]);
    return rows;
  } finally {
    await client.end();
  }
}

async function untilQuarantine({ service }: World): Promise<void> {
  await until('one is in quarantine', async () => {
    const { backends } = (await (await fetch(`${service.apiUrl}/v1/backends`)).json()) as {
      backends: readonly { readonly gate: string }[];
    };
    return backends.some(({ gate }) => gate === 'closed');
  });
}

/** 3 s a rendering: one ComfyUI does not take all that wait before the other, which is to fail, has polled. */
const SHARED_STEP_SECONDS = 0.1;

const BATCH = { width: 1024, height: 1024, batch_size: 4 };

test('R5.2 out of memory that others hold: it is freed, and the same is rendered', async () => {
  const here = await start([10]);
  const [simulator] = here.simulators as [SimulatorProcess];
  await arm(simulator, { kind: 'vram_held', gib: 8 });
  const { id } = await submit(here, { width: 512, height: 512 });
  const seen = await here.service.untilStatus(id, 'COMPLETED', 60_000);
  expect(seen.attempts).toMatchObject([{ kind: 'CUDA_OOM', strategy: 'free_memory', success: true, before: null }]);
  expect(seen.delivered).toEqual(seen.asked);
  expect(countOf(simulator, 'rendering_started')).toBe(2);
  // The checkpoint and both texts: the models went out of the card, the results of the nodes stayed.
  expect(countOf(simulator, 'node_cached')).toBeGreaterThanOrEqual(3);
}, 120_000);

test('R5.2 a batch that does not fit is rendered in parts: all pictures, the very same, and as asked', async () => {
  const here = await start([8]);
  const { id } = await submit(here, BATCH);
  const seen = await here.service.untilStatus(id, 'COMPLETED', 90_000);
  expect(strategiesOf(seen)).toEqual(['free_memory', 'split_batch']);
  expect(seen.attempts[1]).toMatchObject({ before: { batch_size: 4 }, after: { batch_size: 2, width: 1024 } });
  expect(seen.delivered).toEqual(seen.asked);
  expect(seen.outputs.map(({ index, width }) => [index, width])).toEqual([0, 1, 2, 3].map((index) => [index, 1024]));
  const parts = await pixelsOf(here, seen);
  expect(new Set(parts).size).toBe(4);

  const [simulator] = here.simulators as [SimulatorProcess];
  await fetch(`${simulator.url}/simulator/vram`, { method: 'POST', body: JSON.stringify({ gib: 80 }) });
  const whole = await submit(here, BATCH);
  const reference = await here.service.untilStatus(whole.id, 'COMPLETED', 90_000);
  expect(strategiesOf(reference)).toEqual([]);
  expect(await pixelsOf(here, reference)).toEqual(parts);
}, 240_000);

test('R5.2 a picture that fits while it is sampled, but not while it is decoded, is decoded in tiles', async () => {
  const here = await start([7]);
  const { id } = await submit(here, { width: 1280, height: 1280 });
  const seen = await here.service.untilStatus(id, 'COMPLETED', 90_000);
  expect(strategiesOf(seen)).toEqual(['free_memory', 'tiled_decode']);
  expect(seen.delivered).toEqual(seen.asked);
  expect(seen.outputs).toMatchObject([{ width: 1280, height: 1280 }]);
}, 120_000);

test('R5.2 a picture that does not fit at all is made smaller, and the caller sees what was asked and what came', async () => {
  const here = await start([5.2]);
  const { id } = await submit(here, { width: 1024, height: 1024 });
  const seen = await here.service.untilStatus(id, 'COMPLETED', 90_000);
  expect(strategiesOf(seen)).toEqual(['free_memory', 'tiled_decode', 'free_all', 'reduce_params']);
  expect(seen.attempts[3]).toMatchObject({
    before: { width: 1024, height: 1024, steps: 30 },
    after: { width: 816, height: 816, steps: 24 },
  });
  expect(seen.asked).toMatchObject({ width: 1024, height: 1024, steps: 30 });
  expect(seen.delivered).toEqual({ ...seen.asked, width: 816, height: 816, steps: 24 });
  expect(seen.outputs).toMatchObject([{ width: 816, height: 816 }]);
}, 120_000);

test('R5.7 strict: nothing that was asked for is changed, and the failure names its cause', async () => {
  const here = await start([4.2]);
  const { id } = await submit(here, { width: 1024, height: 1024 }, { strict: true });
  const seen = await here.service.untilStatus(id, 'FAILED', 90_000);
  expect(strategiesOf(seen)).toEqual(['free_memory', 'tiled_decode', 'free_all']);
  expect(seen.error).toMatchObject({ kind: 'CUDA_OOM' });
}, 120_000);

test('R5.7 switched off, the first failure ends the generation', async () => {
  const here = await start([4.2], { ERROR_RECOVERY_ENABLED: 'false' });
  const { id } = await submit(here, { width: 512, height: 512 }, { enabled: true });
  const seen = await here.service.untilStatus(id, 'FAILED', 60_000);
  expect(seen).toMatchObject({ attempts: [], error: { kind: 'CUDA_OOM' } });
}, 120_000);

test('R5.4 a model that no backend has is replaced by the next of the list that the backend has, and the caller is told', async () => {
  const here = await start([null]);
  const { id } = await submit(
    here,
    { model: 'gone.safetensors' },
    { models: ['gone-too.ckpt', 'v1-5-pruned-emaonly.ckpt'] },
  );
  const seen = await here.service.untilStatus(id, 'COMPLETED', 60_000);
  expect(strategiesOf(seen)).toEqual(['switch_model']);
  expect(seen.delivered).toEqual({ ...seen.asked, model: 'v1-5-pruned-emaonly.ckpt' });
  expect(countOf(here.simulators[0], 'rendering_started')).toBe(1);

  const forbidden = await submit(here, { model: 'gone.safetensors' }, { models: [] });
  const failed = await here.service.untilStatus(forbidden.id, 'FAILED', 60_000);
  expect(failed).toMatchObject({ attempts: [], error: { kind: 'MODEL_MISSING' } });
}, 120_000);

test('R5.4 a model that another backend has is never replaced: that backend renders it', async () => {
  const here = await start([null, null], { PREFETCH: '0' });
  const [first, second] = here.simulators as [SimulatorProcess, SimulatorProcess];
  // Gone from one alone: its loader, and what it says of its files after it was restarted.
  await arm(first, { kind: 'model_removed', filename: 'v1-5-pruned-emaonly.safetensors' });
  const all = await Promise.all(
    [1, 2, 3, 4].map(async (seed) => {
      const { id } = await submit(here, { width: 64, height: 64, seed });
      return here.service.untilStatus(id, 'COMPLETED', 60_000);
    }),
  );
  for (const seen of all) expect(seen.delivered).toEqual(seen.asked);
  expect(new Set(all.flatMap(strategiesOf))).toEqual(new Set(['other_backend']));
  expect(countOf(second, 'rendering_finished')).toBe(4);
}, 120_000);

test('R5.2 what fits on no smaller card goes to one with more memory, and not to one with as little', async () => {
  const here = await start([4.2, 4.2, 24], { PREFETCH: '0' }, 0.1);
  const [small, smaller, large] = here.simulators as [SimulatorProcess, SimulatorProcess, SimulatorProcess];
  await queued(large.url, buildGraph({ steps: 100 })); // a stranger's, so that one of the others is first
  const strict = await submit(here, { width: 1024, height: 1024 }, { strict: true });
  const seen = await here.service.untilStatus(strict.id, 'COMPLETED', 90_000);
  expect(seen.delivered).toEqual(seen.asked);
  expect(strategiesOf(seen)).toEqual(['free_memory', 'tiled_decode', 'free_all', 'other_backend']);
  expect([small, smaller].map((card) => countOf(card, 'rendering_started')).sort()).toEqual([0, 4]);
  expect(countOf(large, 'rendering_finished')).toBe(2);
}, 120_000);

test('a graph that is larger than ComfyUI takes ends at once, and the error says so', async () => {
  const simulator = await startSimulator({ extraArgs: ['--max-upload-size', '0.001'] });
  const service = await startService({ comfyUrls: [simulator.url] });
  const here: World = { service, simulators: [simulator] };
  world = here;
  const { id } = await submit(here, { width: 64, height: 64 });
  const seen = await service.untilStatus(id, 'FAILED', 60_000);
  expect(seen).toMatchObject({ attempts: [], error: { kind: 'INPUT_TOO_LARGE' } });
  expect(countOf(simulator, 'rendering_started')).toBe(0);
}, 120_000);

test('a card whose device is broken is left alone by everybody, and another renders', async () => {
  const here = await start([null, null], { PREFETCH: '0' }, SHARED_STEP_SECONDS);
  const [broken] = here.simulators as [SimulatorProcess];
  await arm(broken, { kind: 'poison' });
  const ids = await Promise.all(
    [1, 2, 3, 4, 5, 6].map(async (seed) => (await submit(here, { width: 64, height: 64, seed })).id),
  );
  const seen = await Promise.all(ids.map(async (id) => here.service.untilStatus(id, 'COMPLETED', 90_000)));
  const attempts = seen.flatMap((one) => one.attempts);
  expect(attempts).toContainEqual(expect.objectContaining({ kind: 'DEVICE_POISONED', strategy: 'other_backend' }));
  // Those that had been claimed there when the gate shut look for another backend.
  expect(attempts.every(({ strategy }) => ['other_backend', 'rediscover'].includes(strategy))).toBe(true);
  await untilQuarantine(here);
}, 180_000);

test('R5.3 a rendering that is too slow is stopped and goes on, once, from the nodes that are done', async () => {
  const here = await start([null], { GENERATION_TIMEOUT_SECONDS: '1' }, 0.02); // ten times that on a CPU
  const [simulator] = here.simulators as [SimulatorProcess];
  await arm(simulator, { kind: 'slow', nodeType: 'KSampler', factor: 100, count: 1 });
  const { id } = await submit(here, { width: 64, height: 64 });
  const seen = await here.service.untilStatus(id, 'COMPLETED', 60_000);
  expect(seen.attempts).toMatchObject([{ kind: 'TIMEOUT', strategy: 'resume' }]);
  expect(countOf(simulator, 'interrupt')).toBeGreaterThan(0);
  expect(countOf(simulator, 'rendering_started')).toBe(2);
  const job = await fetch(`${here.service.apiUrl}/api/error-recovery/jobs/${id}/status`);
  expect(await job.json()).toMatchObject({ data: { recovery_status: { available_checkpoints: 1 } } });
  // The checkpoint and both texts were done.
  expect(countOf(simulator, 'node_cached')).toBeGreaterThanOrEqual(3);
  const [row] = await checkpointsOf(here, id);
  expect(row).toMatchObject({ attempt: 1, graph_key: expect.stringMatching(/^graphs\//), files: [] });
  expect(row?.progress_percent).toBeGreaterThan(0);
  expect(row?.completed_nodes).toEqual(expect.arrayContaining(['4', '6', '7']));
}, 120_000);

test('a ComfyUI that cannot be stopped is left alone until it is restarted, and another renders', async () => {
  const here = await start([null, null], { GENERATION_TIMEOUT_SECONDS: '1' }, SHARED_STEP_SECONDS);
  const [hung] = here.simulators as [SimulatorProcess];
  await arm(hung, { kind: 'hang', nodeType: 'KSampler' });
  const all = await Promise.all(
    [1, 2, 3].map(async (seed) => {
      const { id } = await submit(here, { width: 64, height: 64, seed });
      const seen = await here.service.untilStatus(id, 'COMPLETED', 120_000);
      expect(seen.abandonedRenderings).toBe(strategiesOf(seen).includes('take_over') ? 1 : 0);
      return seen;
    }),
  );
  expect(all.flatMap(strategiesOf)).toContain('take_over');
  await untilQuarantine(here);
  await hung.kill('SIGKILL'); // as somebody must
}, 180_000);

test('a ComfyUI that answers and runs nothing is left alone until it is restarted, and another renders', async () => {
  const here = await start([null, null], { STALL_SECONDS: '1' }, SHARED_STEP_SECONDS);
  const [zombie] = here.simulators as [SimulatorProcess];
  await arm(zombie, { kind: 'zombie', afterPrompt: true });
  const ids = await Promise.all(
    [1, 2, 3, 4, 5, 6].map(async (seed) => (await submit(here, { width: 64, height: 64, seed })).id),
  );
  const seen = await Promise.all(ids.map(async (id) => here.service.untilStatus(id, 'COMPLETED', 120_000)));
  const attempts = seen.flatMap((one) => one.attempts);
  expect(attempts).toContainEqual(expect.objectContaining({ kind: 'BACKEND_CRASHED', strategy: 'wait_and_resubmit' }));
  await untilQuarantine(here);
}, 180_000);
