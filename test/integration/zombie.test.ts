import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createObjectStore } from '../../activities/storage/object-store.js';
import { readClaim } from '../../activities/storage/claim-record.js';
import { countOf } from '../activities/support/simulators.js';
import type { NodeProcess } from '../support/node-process.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

/** A worker with a ComfyUI of its own, which stops itself at one point of one activity. */
interface Zombie {
  readonly comfy: SimulatorProcess;
  readonly worker: NodeProcess;
  readonly generation: SeenGeneration;
}

/** The defaults of a worker, because this suite tests a take-over with them. `startService` sets a shorter heartbeat timeout. */
const DEFAULTS = { HEARTBEAT_TIMEOUT_SECONDS: '15', SCHEDULE_TO_START_SECONDS: '60' };

let survivor: SimulatorProcess;
let service: Service;
const comfys: SimulatorProcess[] = [];
const workers: NodeProcess[] = [];

beforeAll(async () => {
  survivor = await comfyWith({ secondsPerStep: 0.01 });
  // The checker looks at the ComfyUI that is left: on one that nobody reaches a prompt may live beside it.
  service = await startService({ comfyUrls: [survivor.url], env: { WORKER_ROLES: 'control', ...DEFAULTS } });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await Promise.all(workers.map(async (worker) => worker.end('SIGKILL')));
  await Promise.all(comfys.map(async (comfy) => comfy.stop()));
}, 90_000);

async function comfyWith(options: { readonly secondsPerStep: number }): Promise<SimulatorProcess> {
  const comfy = await startSimulator(options);
  comfys.push(comfy);
  return comfy;
}

async function workerAt(comfy: SimulatorProcess, backendId: string, crashAt = ''): Promise<NodeProcess> {
  const worker = await service.startOther(backendId, {
    ...{ WORKER_ROLES: 'gpu', COMFYUI_URL: comfy.url, BACKEND_ID: backendId, PREFETCH: '0', CRASH_AT: crashAt },
  });
  workers.push(worker);
  return worker;
}

/** Starts a worker, gives it a generation and waits until it has stopped itself. */
async function zombieAt(crashPoint: string, options: { readonly secondsPerStep: number; readonly steps: number }) {
  const comfy = await comfyWith(options);
  const worker = await workerAt(comfy, `zombie-${crashPoint.replace('.', '-')}`, `${crashPoint}:1:SIGSTOP`);
  const { steps } = options;
  const generation = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a wolf', width: 64, height: 64, steps, seed: 4 },
  });
  await until(`it has stopped at ${crashPoint}`, async () => isStopped(worker), 60_000);
  return { comfy, worker, generation } satisfies Zombie;
}

/** Starts a worker, gives it a generation and kills it while that renders; answers how long another takes to deliver it. */
async function killedWhileRendering() {
  const comfy = await comfyWith({ secondsPerStep: 3 });
  const worker = await workerAt(comfy, 'killed');
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a fox', width: 64, height: 64, steps: 150, seed: 5 },
  });
  await service.untilStatus(id, 'PROCESSING', 60_000);
  await worker.end('SIGKILL');
  const killedAt = performance.now();
  const delivered = service.untilStatus(id, 'COMPLETED', 300_000);
  return { delivered, secondsUntilDelivered: delivered.then(() => (performance.now() - killedAt) / 1_000) };
}

/** By its state in /proc: `T` is a process that a signal has stopped. */
function isStopped({ pid }: NodeProcess): boolean {
  return /^\d+ \(.*\) T /.test(readFileSync(join('/proc', String(pid), 'stat'), 'utf8'));
}

test('a worker that was paused past its heartbeat and comes back renders the same prompt once', async () => {
  const { comfy, worker, generation } = await zombieAt('submitPrompt.mid', { secondsPerStep: 0.1, steps: 20 });
  const attempts = async () => {
    const { raw } = await service.temporal.workflow.getHandle(`generation/${generation.id}`).describe();
    return raw.pendingActivities?.map(({ attempt }) => attempt ?? 0) ?? [];
  };
  await until('Temporal has given the attempt up', async () => (await attempts()).some((one) => one > 1), 60_000);
  process.kill(worker.pid, 'SIGCONT');
  const finished = await service.untilStatus(generation.id, 'COMPLETED', 120_000);
  expect(finished).toMatchObject({ abandonedRenderings: 0, attempts: [] });
  expect(countOf(comfy, 'prompt_received')).toBe(1);
  expect(countOf(comfy, 'rendering_finished')).toBe(1);
  await worker.end('SIGTERM'); // the next test has workers of its own
}, 240_000);

test('a picture that a paused worker has stored for a generation that was cancelled meanwhile is removed', async () => {
  const { worker, generation } = await zombieAt('uploadOutputs.mid', { secondsPerStep: 0, steps: 5 });
  const store = createObjectStore(service.bucket);
  const key = `jobs/${generation.id}/image_0.png`;
  await service.post(`/v1/generations/${generation.id}/cancel`);
  await service.untilStatus(generation.id, 'CANCELLED', 60_000);
  await until('it is removed', async () => (await store.facts(key)) === null);
  process.kill(worker.pid, 'SIGCONT');
  await worker.end('SIGTERM'); // which lets its activities end
  await expect(store.facts(key)).resolves.toBeNull();
}, 150_000);

test('workers that are gone are taken over from, and when they come back their late effects are refused or undone', async () => {
  const beforePost = await zombieAt('submitPrompt.before', { secondsPerStep: 0, steps: 5 });
  const afterPost = await zombieAt('submitPrompt.mid', { secondsPerStep: 3, steps: 150 });
  const beforeUpload = await zombieAt('uploadOutputs.before', { secondsPerStep: 0, steps: 5 });
  const zombies = [beforePost, afterPost, beforeUpload];
  const killed = await killedWhileRendering();
  await workerAt(survivor, 'survivor');

  const ended = await Promise.all(
    zombies.map(async ({ generation: { id } }) => service.untilStatus(id, 'COMPLETED', 300_000)),
  );
  expect(ended.map(({ abandonedRenderings }) => abandonedRenderings)).toEqual([1, 1, 0]);
  expect(ended.map(({ attempts }) => attempts.map(({ strategy }) => strategy))).toEqual([
    ['take_over'],
    ['take_over'],
    ['rediscover'],
  ]);
  expect((await killed.delivered).abandonedRenderings).toBe(1);
  const seconds = await killed.secondsUntilDelivered; // 15 until its heartbeat is missed, 60 in its queue
  process.stdout.write(`Taken over from a worker that was killed: ${seconds.toFixed(0)} s\n`);
  expect(seconds).toBeLessThan(105);
  expect(countOf(afterPost.comfy, 'rendering_finished')).toBe(0); // it renders on, for nobody

  for (const { worker } of zombies) process.kill(worker.pid, 'SIGCONT');
  await until('the lost one cleans up', async () => countOf(afterPost.comfy, 'interrupt') > 0, 30_000);
  await until(
    'its GPU is free',
    async () => {
      const { exec_info: info } = (await (await fetch(`${afterPost.comfy.url}/prompt`)).json()) as {
        exec_info: { queue_remaining: number };
      };
      return info.queue_remaining === 0;
    },
    30_000,
  );
  expect(countOf(beforePost.comfy, 'prompt_received')).toBe(0);
  const store = createObjectStore(service.bucket);
  for (const { generation } of zombies) {
    await expect(readClaim(store, generation.id)).resolves.toMatchObject({
      ...{ submission: 2, backendId: 'survivor', ended: true },
    });
    const facts = await store.facts(`jobs/${generation.id}/image_0.png`);
    expect(facts?.metadata).toMatchObject({ submission: '2' });
  }
  expect(countOf(survivor, 'rendering_finished')).toBe(4);
}, 480_000);
