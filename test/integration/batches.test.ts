import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { arm } from '../activities/support/simulators.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';

const MEMBERS = 200;
const WINDOW = 20;
let simulators: readonly SimulatorProcess[];
let service: Service;

beforeAll(async () => {
  simulators = await Promise.all([startSimulator({ secondsPerStep: 0.01 }), startSimulator({ secondsPerStep: 0.01 })]);
  service = await startService({ comfyUrls: simulators.map(({ url }) => url), env: { BATCH_WINDOW: String(WINDOW) } });
}, 120_000);

afterAll(async () => {
  await service.stop();
  await Promise.all(simulators.map((simulator) => simulator.stop()));
}, 120_000);

interface Batch {
  readonly id: string;
  readonly total: number;
  readonly percent: number;
  readonly counts: Readonly<Record<string, number>>;
}

interface Member {
  readonly id: string;
  readonly status: string;
  readonly outputs: readonly unknown[];
  readonly retryOf: string | null;
  readonly startedAt: string | null;
}

async function submitBatch(count: number, more: Readonly<Record<string, unknown>> = {}): Promise<Batch> {
  const parameters = { prompt: 'a harbour', width: 64, height: 64, steps: 5 };
  const generation = { template: 'sd15-text-to-image', parameters };
  const response = await service.post('/v1/batches', { generation, seeds: { from: 1, count }, ...more });
  if (response.status !== 202) throw new Error(await response.text());
  return (await response.json()) as Batch;
}

async function readBatch(id: string): Promise<Batch> {
  return (await (await fetch(`${service.apiUrl}/v1/batches/${id}`)).json()) as Batch;
}

async function members(id: string): Promise<readonly Member[]> {
  const found: Member[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const query = `limit=100${cursor === '' ? '' : `&cursor=${cursor}`}`;
    const response = await fetch(`${service.apiUrl}/v1/batches/${id}/generations?${query}`);
    const page = (await response.json()) as { generations: Member[]; nextCursor: string | null };
    found.push(...page.generations);
    cursor = page.nextCursor;
  }
  return found;
}

const finishedRenderings = (): number =>
  simulators.flatMap((simulator) => simulator.journal()).filter(({ event }) => event === 'rendering_finished').length;

test('a batch survives the death of control worker and API: all complete, each is rendered once, progress ends at 100', async () => {
  const before = finishedRenderings();
  const { id } = await submitBatch(MEMBERS);
  await until('some are done', async () => ((await readBatch(id)).counts['completed'] ?? 0) >= 20, 300_000);
  await Promise.all([service.killWorker('SIGKILL'), service.killApi('SIGKILL')]);
  await Promise.all([service.startWorker(), service.startApi()]);
  const open = await service.temporal.workflow.count(`BatchId = '${id}' AND ExecutionStatus = 'Running'`);
  expect(open.count).toBeLessThan(2 * WINDOW); // Visibility is a little late
  expect(open.count).toBeGreaterThan(0);

  const seen: number[] = [];
  await until(
    'everything has ended',
    async () => {
      const { percent } = await readBatch(id);
      seen.push(percent);
      return percent === 100;
    },
    500_000,
  );
  expect(seen).toEqual([...seen].sort((left, right) => left - right));
  expect((await readBatch(id)).counts).toMatchObject({ completed: MEMBERS });
  const list = await members(id);
  expect(list).toHaveLength(MEMBERS);
  expect(list.every(({ outputs }) => outputs.length === 1)).toBe(true);
  expect(finishedRenderings() - before).toBe(MEMBERS);
}, 900_000);

test('one account floods; the single request of another starts within two renderings and a second', async () => {
  await service.post('/v1/accounts', { id: 'flood' });
  await service.post('/v1/accounts/flood/grants', { credits: 1_000, reference: 'x' });
  const flood = await submitBatch(MEMBERS, { account: 'flood' });
  await until('the flood renders', async () => ((await readBatch(flood.id)).counts['completed'] ?? 0) >= 4, 120_000);
  const before = finishedRenderings();
  const { id } = await service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'alone', width: 64, height: 64, steps: 5, seed: 1 },
  });
  await until('it renders', async () => (await service.get(id)).status !== 'QUEUED', 120_000);
  // On each GPU one renders and one is ready beside it; what else ends meanwhile was already under way.
  expect(finishedRenderings() - before).toBeLessThanOrEqual(2 * 2 * simulators.length);
  await service.untilStatus(id, 'COMPLETED', 120_000);

  expect((await service.post(`/v1/batches/${flood.id}/cancel`)).status).toBe(202);
  await until('all of it has ended', async () => (await readBatch(flood.id)).percent === 100, 120_000);
  const { completed = 0, cancelled = 0 } = (await readBatch(flood.id)).counts;
  expect(completed + cancelled).toBe(MEMBERS);
  expect(cancelled).toBeGreaterThan(MEMBERS / 2);
  const account = (await (await fetch(`${service.apiUrl}/v1/accounts/flood`)).json()) as {
    balance: number;
    held: number;
  };
  expect(account).toMatchObject({ balance: 1_000 - completed, held: 0 });
}, 600_000);

test('what has failed of a batch is retried in its place, and then all of it has a result', async () => {
  for (const simulator of simulators) await arm(simulator, { kind: 'no_face', nodeType: 'KSampler', count: 3 });
  const { id } = await submitBatch(3);
  await until('they have failed', async () => (await readBatch(id)).counts['failed'] === 3, 120_000);
  await Promise.all(simulators.map(async ({ url }) => fetch(`${url}/simulator/faults`, { method: 'DELETE' })));
  const retry = (await (await service.post(`/v1/batches/${id}/retry`)).json()) as { retried: number };
  expect(retry.retried).toBe(3);
  await until('they have a result', async () => (await readBatch(id)).counts['completed'] === 3, 120_000);
  expect((await members(id)).every(({ retryOf }) => retryOf !== null)).toBe(true);
}, 400_000);
