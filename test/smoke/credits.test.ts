import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { arm } from '../activities/support/simulators.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.05 });
  service = await startService({ comfyUrls: [simulator.url] });
}, 90_000);

afterAll(async () => {
  await service.stop(); // the checker compares entries and ends
  await simulator.stop();
}, 60_000);

const json = async (answer: Promise<Response>) => (await answer).json() as Promise<Record<string, unknown>>;

async function account(id: string, credits: number): Promise<void> {
  expect(await json(service.post('/v1/accounts', { id }))).toMatchObject({ id, balance: 0, held: 0 });
  const answer = await json(service.post(`/v1/accounts/${id}/grants`, { credits, reference: 'start' }));
  expect(answer).toMatchObject({ balance: credits });
}

const state = async (id: string) => json(fetch(`${service.apiUrl}/v1/accounts/${id}`));

async function kindsOf(id: string): Promise<readonly string[]> {
  const { entries } = (await json(fetch(`${service.apiUrl}/v1/accounts/${id}/entries`))) as {
    entries: readonly { kind: string }[];
  };
  return entries.map(({ kind }) => kind).reverse();
}

let seed = 0;
function body(accountId: string, parameters: object = {}) {
  seed += 1;
  const all = { prompt: 'a stork', width: 64, height: 64, steps: 2, seed, ...parameters };
  return { template: 'sd15-text-to-image', account: accountId, parameters: all };
}

test('R4.5 a delivered batch is charged by the picture, once; what is missing is said with 402', async () => {
  await account('alice', 5);
  const generation = await service.submit(body('alice', { batch_size: 4 }));
  expect(generation).toMatchObject({ account: 'alice', credits: { amount: 4, state: 'held' } });
  expect(await state('alice')).toMatchObject({ balance: 1, held: 4 });
  const refused = await service.post('/v1/generations', body('alice', { batch_size: 3 }));
  expect({ status: refused.status, json: await refused.json() }).toMatchObject({
    status: 402,
    json: {
      code: 'insufficient_credits',
      detail: 'Its price in credits is 3, and the balance of account "alice" is 1: 2 too few.',
    },
  });
  expect(await service.untilStatus(generation.id, 'COMPLETED', 60_000)).toMatchObject({
    credits: { state: 'captured' },
  });
  expect(await state('alice')).toMatchObject({ balance: 1, held: 0 });
  expect(await kindsOf('alice')).toEqual(['grant', 'hold', 'capture']);
}, 90_000);

test('R4.5 failures and cancels give the credits back; a retry holds them again', async () => {
  await account('bob', 1);
  await arm(simulator, { kind: 'no_face', nodeType: 'KSampler', count: 1 });
  const failed = await service.submit(body('bob'));
  const seen = await service.untilStatus(failed.id, 'FAILED', 60_000);
  expect(seen).toMatchObject({ error: { kind: 'NO_FACE' }, credits: { amount: 1, state: 'released' } });
  const retried = await json(service.post(`/v1/generations/${failed.id}/retry`));
  await service.untilStatus(String(retried['id']), 'COMPLETED', 60_000);
  expect(await kindsOf('bob')).toEqual(['grant', 'hold', 'release', 'hold', 'capture']);
  expect((await service.post(`/v1/generations/${failed.id}/retry`)).status).toBe(402);

  await account('carol', 2);
  const running = await service.submit(body('carol', { steps: 150 }));
  const queued = await service.submit(body('carol', { steps: 150 }));
  await service.untilStatus(running.id, 'PROCESSING', 30_000);
  await service.post(`/v1/generations/${queued.id}/cancel`);
  await service.post(`/v1/generations/${running.id}/cancel`);
  await service.untilStatus(queued.id, 'CANCELLED', 30_000);
  await service.untilStatus(running.id, 'CANCELLED', 30_000);
  expect(await state('carol')).toMatchObject({ balance: 2, held: 0 });
  expect((await kindsOf('carol')).filter((kind) => kind === 'release')).toHaveLength(2);
}, 120_000);

test('R4.5 a worker that dies between the record and its answer charges once', async () => {
  await account('dave', 1);
  await service.killWorker();
  await service.startWorker({ CRASH_AT: 'recordOutcome.mid' });
  const { id } = await service.submit(body('dave'));
  await service.workerEnded();
  await service.startWorker();
  await service.untilStatus(id, 'COMPLETED', 60_000);
  expect(await kindsOf('dave')).toEqual(['grant', 'hold', 'capture']);
}, 120_000);

test('R4.5 a terminated generation gives its credits back', async () => {
  await account('erin', 1);
  const { id } = await service.submit(body('erin', { steps: 150 }));
  await service.untilStatus(id, 'PROCESSING', 30_000);
  await service.temporal.workflow.getHandle(`generation/${id}`).terminate();
  await service.untilStatus(id, 'CANCELLED', 100_000);
  expect(await kindsOf('erin')).toEqual(['grant', 'hold', 'release']);
}, 150_000);

/** Follows the remedy of a 503: the same request with the same key, after the seconds of Retry-After. */
async function untilDecided(request: unknown, key: string): Promise<number> {
  for (;;) {
    const answer = await service.post('/v1/generations', request, { 'idempotency-key': key });
    const { code } = (await answer.json()) as { readonly code?: string };
    if (answer.status !== 503) return answer.status;
    expect(code).toBe('database_unavailable');
    const retryAfter = answer.headers.get('retry-after') ?? '';
    expect(retryAfter).toMatch(/^[1-9]\d*$/);
    await sleep(Number(retryAfter) * 1_000);
  }
}

test('200 requests that race for a balance of 3: exactly 3 are accepted, and the rest learns why not', async () => {
  await account('frank', 3);
  const statuses = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => untilDecided(body('frank'), `race-${index}`)),
  );
  expect(statuses.filter((status) => status === 202)).toHaveLength(3);
  expect(statuses.filter((status) => status !== 202)).toEqual(Array.from({ length: 197 }, () => 402));
  expect(await state('frank')).toMatchObject({ balance: 0 });
}, 240_000);

test('accounts: the same grant counts once, bad names and unknown accounts are refused, without one nothing is charged', async () => {
  await account('gina', 2);
  const again = { credits: 2, reference: 'start' };
  expect(await json(service.post('/v1/accounts/gina/grants', again))).toMatchObject({ balance: 2 });
  expect(await json(service.post('/v1/accounts/gina/grants', { ...again, credits: 3 }))).toMatchObject({
    code: 'grant_mismatch',
  });
  expect(await json(service.post('/v1/accounts', { id: 'no spaces' }))).toMatchObject({ code: 'invalid_request' });
  expect(await state('nobody')).toMatchObject({ status: 404, code: 'account_not_found' });
  expect(await json(service.post('/v1/generations', body('nobody')))).toMatchObject({
    status: 422,
    code: 'unknown_account',
  });
  const free = await service.submit({ template: 'test-card', parameters: {} });
  expect(free).toMatchObject({ account: null, credits: null });
}, 60_000);
