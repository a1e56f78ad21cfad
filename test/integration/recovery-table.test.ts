import { readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { promptIdOf } from '../../activities/comfyui/prompt-id.js';
import { backendStateQuery, backendWorkflowId } from '../../workflows/contracts/backend.js';
import { arm } from '../activities/support/simulators.js';
import type { NodeProcess } from '../support/node-process.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

const SECONDS_PER_STEP = 0.05;
const BACKENDS = ['one', 'two'] as const;
let simulators: SimulatorProcess[];
let service: Service;
let second: NodeProcess;

beforeAll(async () => {
  simulators = await Promise.all(BACKENDS.map(async () => startSimulator({ secondsPerStep: SECONDS_PER_STEP })));
  const [one, two] = simulators.map(({ url }) => url) as [string, string];
  service = await startService({ comfyUrls: [one, two], env: { COMFYUI_URL: one, BACKEND_ID: 'one' } });
  second = await service.startOther('two', { COMFYUI_URL: two, BACKEND_ID: 'two', WORKER_ROLES: 'gpu' });
}, 120_000);

afterAll(async () => {
  await second.end('SIGTERM');
  await service.stop(); // runs the checker
  await Promise.all(simulators.map(async (simulator) => simulator.stop()));
}, 120_000);

async function drain(backendId: string): Promise<void> {
  await service.post(`/v1/backends/${backendId}/drain`);
  const handle = service.temporal.workflow.getHandle(backendWorkflowId(backendId));
  await until(`${backendId} is draining`, async () => (await handle.query(backendStateQuery)).gateSet === 'draining');
}

let seed = 0;

/** A generation whose first submission meets the fault, whichever backend takes it; no later one does. */
async function meeting(
  fault: Readonly<Record<string, unknown>>,
  ...[steps = 4, extra = {}]: [steps?: number, extra?: object]
): Promise<SeenGeneration> {
  for (const backendId of BACKENDS) await drain(backendId);
  // Loaders whose results are cached would not run, and so meet nothing.
  for (const { url } of simulators) await fetch(`${url}/free`, { method: 'POST', body: '{"free_memory":true}' });
  seed += 1;
  const parameters = { prompt: 'a lighthouse', width: 64, height: 64, steps, seed };
  const generation = await service.submit({ template: 'sd15-text-to-image', parameters, ...extra });
  const promptId = promptIdOf(generation.id, 1);
  for (const simulator of simulators) await arm(simulator, { ...fault, promptId });
  for (const backendId of BACKENDS) await service.post(`/v1/backends/${backendId}/resume`);
  return generation;
}

const strategiesOf = ({ attempts }: SeenGeneration) => attempts.map(({ strategy }) => strategy);

/** Events of the prompts of one generation, over both ComfyUIs. */
function journalOf(id: string, event: string) {
  const ids = [1, 2, 3, 4].map((submission) => promptIdOf(id, submission));
  return simulators
    .flatMap((simulator) => simulator.journal())
    .filter((entry) => entry.event === event && entry.promptId !== undefined && ids.includes(entry.promptId));
}

const finished = async (id: string) => service.untilStatus(id, 'COMPLETED', 90_000);

test('R2.5 PROMPT_LOST: a prompt that vanishes for good is looked for, then submitted again', async () => {
  const { id } = await meeting({ kind: 'vanish', count: 1 });
  const seen = await finished(id);
  expect(seen.attempts).toMatchObject([{ kind: 'PROMPT_LOST', strategy: 'resubmit' }]);
  expect(journalOf(id, 'prompt_received')).toHaveLength(2);
}, 150_000);

test('R2.5 a prompt that vanishes for a while is found again, and nothing is recovered from', async () => {
  const { id } = await meeting({ kind: 'vanish', count: 1, returnsAfterMs: 5_000 });
  const seen = await finished(id);
  expect(seen.attempts).toEqual([]);
  expect(journalOf(id, 'prompt_received')).toHaveLength(1);
}, 150_000);

test('R2.5 BACKEND_CRASHED: a ComfyUI that dies is waited for or replaced, and the prompt is submitted again', async () => {
  // In the middle of the sampling: a crash right after the POST is the submission's own, and is not counted.
  const { id } = await meeting({ kind: 'crash', nodeType: 'KSampler', atStep: 20 }, 40);
  const index = await Promise.race(simulators.map(async ({ ended }, place) => ended.then(() => place)));
  const dead = simulators[index];
  if (dead === undefined) throw new Error('nothing died');
  const { port, dataDir } = dead;
  simulators[index] = await startSimulator({ secondsPerStep: SECONDS_PER_STEP, port, dataDir });
  const seen = await finished(id);
  expect(seen.attempts).toMatchObject([{ kind: 'BACKEND_CRASHED', strategy: 'wait_and_resubmit' }]);
  expect(journalOf(id, 'rendering_finished')).toHaveLength(1);
}, 150_000);

test('R5.5 NETWORK_ERROR: a proxy that answers nonsense for some seconds costs nothing but time', async () => {
  const { id } = await meeting({ kind: 'slow', factor: 1, count: 1 }, 60);
  await service.untilStatus(id, 'PROCESSING', 30_000);
  for (const simulator of simulators) await arm(simulator, { kind: 'login_page', durationMs: 6_000, count: 1_000 });
  const seen = await finished(id);
  expect(seen.provider).toBe('comfyui');
  const pages = simulators
    .flatMap((simulator) => simulator.journal())
    .filter((entry) => entry['kind'] === 'login_page');
  expect(pages.length).toBeGreaterThan(0);
  expect(journalOf(id, 'rendering_started')).toHaveLength(1);
}, 150_000);

test('R5.5 NETWORK_ERROR of a node: what it wanted from the network is tried again after a pause', async () => {
  const text = "HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /model";
  const fault = { exceptionType: 'requests.exceptions.ConnectionError', exceptionMessage: text, count: 1 };
  const { id } = await meeting({ kind: 'node_error', nodeType: 'KSampler', ...fault });
  const seen = await finished(id);
  expect(seen.attempts).toMatchObject([{ kind: 'NETWORK_ERROR', strategy: 'resubmit' }]);
  expect(journalOf(id, 'rendering_started')).toHaveLength(2);
}, 150_000);

test('R5.3 TIMEOUT of a node: it goes on from the nodes that are done', async () => {
  const fault = { exceptionType: 'Exception', exceptionMessage: 'API timeout error: API request timed out', count: 1 };
  const { id } = await meeting({ kind: 'node_error', nodeType: 'KSampler', ...fault });
  const seen = await finished(id);
  expect(seen.attempts).toMatchObject([{ kind: 'TIMEOUT', strategy: 'resume' }]);
  expect(journalOf(id, 'node_cached').length).toBeGreaterThanOrEqual(3);
}, 150_000);

test('R2.5 INTERRUPTED: somebody presses the button, and the prompt is submitted again', async () => {
  const { id } = await meeting({ kind: 'slow', factor: 1, count: 1 }, 60);
  await until('it samples', async () => ((await service.get(id)).progress?.step ?? 0) > 0, 30_000);
  for (const { url } of simulators) await fetch(`${url}/interrupt`, { method: 'POST', body: '{}' });
  const seen = await finished(id);
  expect(seen.attempts).toMatchObject([{ kind: 'INTERRUPTED', strategy: 'resubmit' }]);
}, 150_000);

test('R5.1 HOST_OOM: the memory is freed, and the same is rendered', async () => {
  const { id } = await meeting({ kind: 'host_oom', count: 1 });
  const seen = await finished(id);
  expect(seen.attempts).toMatchObject([{ kind: 'HOST_OOM', strategy: 'free_all' }]);
  expect(seen.delivered).toEqual(seen.asked);
}, 150_000);

test.each([
  ['environment', 'ENVIRONMENT'],
  ['model_corrupt', 'MODEL_CORRUPT'],
] as const)(
  'a backend with a fault of its own (%s) is not tried again: another renders',
  async (kind, failure) => {
    const { id } = await meeting({ kind, count: 1 });
    const seen = await finished(id);
    expect(seen.attempts).toMatchObject([{ kind: failure, strategy: 'other_backend' }]);
    const places = simulators.map((simulator) =>
      simulator.journal().filter(({ promptId }) => [1, 2].some((n) => promptId === promptIdOf(id, n))),
    );
    expect(places.every((entries) => entries.some(({ event }) => event === 'rendering_started'))).toBe(true);
  },
  150_000,
);

test('R5.1 MODEL_INCOMPATIBLE: another backend is tried', async () => {
  const text = 'ERROR: Could not detect model type of: /models/checkpoints/odd.safetensors';
  const { id } = await meeting({ kind: 'node_error', exceptionType: 'RuntimeError', exceptionMessage: text, count: 1 });
  expect((await finished(id)).attempts).toMatchObject([{ kind: 'MODEL_INCOMPATIBLE', strategy: 'other_backend' }]);
}, 150_000);

test.each([
  { rule: 'R5.6', kind: 'disk_full', failure: 'DISK_FULL', words: 'No space left on device' },
  { rule: 'R4.2', kind: 'no_face', failure: 'NO_FACE', words: 'No face detected' },
])(
  '$rule $failure ends at once, with its cause, and nothing is rendered again',
  async ({ kind, failure, words }) => {
    const { id } = await meeting({ kind, count: 1 });
    const seen = await service.untilStatus(id, 'FAILED', 90_000);
    expect(seen).toMatchObject({ attempts: [], outputs: [], error: { kind: failure } });
    expect(seen.error?.detail).toContain(words);
    expect(journalOf(id, 'rendering_started')).toHaveLength(1);
  },
  150_000,
);

test.each([
  { type: 'PIL.UnidentifiedImageError', text: "cannot identify image file 'a.png'", failure: 'BAD_INPUT' },
  {
    type: 'RuntimeError',
    text: 'mat1 and mat2 shapes cannot be multiplied (8x64 and 128x3)',
    failure: 'WORKFLOW_ERROR',
  },
])(
  'R2.4 $failure ends at once, with node and words of ComfyUI',
  async ({ type, text, failure }) => {
    const fault = { kind: 'node_error', nodeType: 'KSampler', exceptionType: type, exceptionMessage: text, count: 1 };
    const { id } = await meeting(fault);
    const seen = await service.untilStatus(id, 'FAILED', 90_000);
    expect(seen).toMatchObject({ attempts: [], error: { kind: failure } });
    expect(seen.error?.detail).toBe(`Node 3 (KSampler) failed: ${text}`);
  },
  150_000,
);

test('R3.2 OUTPUT_INVALID: a file that is cut off on ComfyUI is fetched again, then rendered again, never delivered', async () => {
  for (const simulator of simulators)
    await arm(simulator, { kind: 'slow_rest', path: '/view', delayMs: 1_000, count: 1_000 });
  const { id } = await meeting({ kind: 'slow', factor: 1, count: 1 });
  await cutOff(id, 1);
  const seen = await finished(id);
  expect(strategiesOf(seen)).toEqual(['download_again', 'download_again', 'download_again', 'render_again']);
  expect(seen.outputs).toHaveLength(1);
}, 150_000);

test('R3.2 R4.5 OUTPUT_INVALID: what is cut off in both renderings fails, and the credits come back', async () => {
  await service.post('/v1/accounts', { id: 'heron' });
  await service.post('/v1/accounts/heron/grants', { credits: 1, reference: 'start' });
  const { id } = await meeting({ kind: 'slow', factor: 1, count: 1 }, 4, { account: 'heron' });
  await cutOff(id, 1);
  await cutOff(id, 2);
  const seen = await service.untilStatus(id, 'FAILED', 90_000);
  expect(strategiesOf(seen)).toEqual(['download_again', 'download_again', 'download_again', 'render_again']);
  expect(seen).toMatchObject({ outputs: [], error: { kind: 'OUTPUT_INVALID' }, credits: { state: 'released' } });
  expect(journalOf(id, 'rendering_started')).toHaveLength(2);
}, 150_000);

/** What the renderings have saved, once so many of them are over. */
async function cutOff(id: string, renderings: number): Promise<void> {
  const isOver = async () => journalOf(id, 'rendering_finished').length >= renderings;
  await until(`rendering ${renderings} is over`, isOver, 60_000);
  for (const path of picturesOf(id)) truncateSync(path, 200);
}

function picturesOf(id: string): readonly string[] {
  return simulators.flatMap(({ dataDir }) => {
    const folder = join(dataDir, 'output');
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.includes(id) && path.endsWith('.png'))
      .map((path) => join(folder, path));
  });
}
