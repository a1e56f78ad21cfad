import { ApplicationFailure } from '@temporalio/common';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { parseComfyUIAddress } from '../../activities/comfyui/comfyui-address.js';
import type { ComfyUIBackend } from '../../activities/comfyui/comfyui-backend.js';
import type { ComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import { NoComfyUIError } from '../../activities/comfyui/errors.js';
import { promptIdOf } from '../../activities/comfyui/prompt-id.js';
import type { PromptState } from '../../activities/comfyui/prompt-state.js';
import { createDiscoverBackend } from '../../activities/discover-backend.js';
import { changeClaim, claimKey } from '../../activities/storage/claim-record.js';
import type { ClaimRecord } from '../../activities/storage/claim-record.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { backendReportKey } from '../../workflows/contracts/backend-report.js';
import type { BackendReport } from '../../workflows/contracts/backend-report.js';
import { createTestBucket, uniqueName } from '../support/stack.js';
import { until } from '../support/until.js';
import { clientAt, closeConnections, environment, failureOf, knownBackend } from './support/activity-world.js';

let store: ObjectStore;
beforeAll(async () => {
  store = createObjectStore(await createTestBucket());
});

afterEach(closeConnections);

/** A backend whose ComfyUI answers this about every prompt. */
function buildBackend(backendId = 'gpu-1', state: PromptState = { status: 'absent' }) {
  const asked: string[] = [];
  const stopped: string[] = [];
  const client: ComfyUIClient = {
    ...clientAt('http://127.0.0.1:1'),
    queueRemaining: async () => 0,
    promptState: async (promptId) => {
      asked.push(promptId);
      return state;
    },
    stop: async (promptId) => void stopped.push(promptId),
  };
  return { backend: knownBackend(client, backendId), asked, stopped };
}

/** Exchanges with a ComfyUI that has this many prompts in its queue. */
function useWithQueue(inComfyQueue: number, state: PromptState): ComfyUIBackend['use'] {
  const client: ComfyUIClient = {
    ...clientAt('http://127.0.0.1:1'),
    queueRemaining: async () => inComfyQueue,
    promptState: async () => state,
  };
  return async (exchange) => exchange(client);
}

/** The graph that every claim here is about, and no backend to avoid. */
/** Nothing is known of what the graph needs. */
const WITHOUT_NEEDS = { readKeptGraph: async () => ({}), pool: 'default' };

const SAME = { graph: { key: 'graphs/a.json', sha256: 'a'.repeat(64) }, avoid: [] };
const current = { ensureCurrent: async (): Promise<void> => undefined };

function claiming(
  backend: ComfyUIBackend,
  claimed: (generationId: string) => void = () => undefined,
  refusal: (inComfyQueue: number) => string | null = () => null,
) {
  const discoverBackend = createDiscoverBackend({
    backend,
    store,
    slots: { claimed, refusal },
    late: current,
    ...WITHOUT_NEEDS,
  });
  return async (
    generationId: string,
    endedSubmissions: readonly number[] = [],
    { lastSubmission = 0, runId = 'run-1' } = {},
  ) =>
    environment({ workflowExecution: { workflowId: 'generation/g', runId } }).run(discoverBackend, {
      ...{ generationId, endedSubmissions, lastSubmission, ...SAME },
    });
}

async function recordOf(generationId: string): Promise<unknown> {
  return (await store.readJson(claimKey(generationId)))?.value;
}

async function recorded(record: ClaimRecord): Promise<string> {
  const generationId = uniqueName('g');
  await changeClaim(store, generationId, async () => record);
  return generationId;
}

function buildReport(facts: Partial<BackendReport>): BackendReport {
  return {
    ...{ backendId: 'gpu-1', pool: 'default', health: 'healthy', reason: 'answers', gate: 'open' },
    ...{ addresses: [], device: 'gpu' },
    ...{ comfyuiVersion: '0.8.0', deviceName: null, vramTotalBytes: null, queueRemaining: 0, maxGpuJobs: 1 },
    ...{ capabilitiesKey: null, reportedAt: new Date().toISOString() },
    ...facts,
  };
}

const GIB = 1024 ** 3;

/** What is known of a ComfyUI with such a card. */
function snapshotOf(card: { readonly hardware: 'gpu'; readonly vramTotalBytes: number }): ComfyUIBackend['snapshot'] {
  const address = parseComfyUIAddress('http://127.0.0.1:1');
  const found = { address, version: '0.8.0', device: 'gpu', deviceName: 'cuda:0', ...card } as const;
  return () => ({ found, answers: [], hasAnsweredBefore: true, timesFound: 1 });
}

const open = { submission: 3, backendId: 'gpu-1', ended: false };
const finished = { outputs: [], texts: {}, startedAtMs: null, finishedAtMs: null, hasReported: false };

describe('Claims', () => {
  test('the first claim of a generation has the number 1, and the gate is told before it is answered', async () => {
    const generationId = uniqueName('g');
    const told: string[] = [];
    const claim = await claiming(buildBackend().backend, (id) => told.push(id))(generationId);
    expect(claim).toEqual({
      ...{ backendId: 'gpu-1', taskQueue: 'gpu@gpu-1', submission: 1, decision: 'new', device: 'gpu' },
      promptId: promptIdOf(generationId, 1),
    });
    expect(told).toEqual([generationId]);
    await expect(recordOf(generationId)).resolves.toEqual({
      ...{ submission: 1, backendId: 'gpu-1', ended: false, runId: 'run-1' },
      graphSha256: SAME.graph.sha256,
    });
  });

  test.each<PromptState>([{ status: 'pending' }, { status: 'running' }, { status: 'succeeded', finished }])(
    'an open record of this backend whose prompt is $status is adopted under its number',
    async (state) => {
      const generationId = await recorded(open);
      const { backend, asked } = buildBackend('gpu-1', state);
      const claim = await claiming(backend)(generationId);
      expect(claim).toMatchObject({ submission: 3, decision: 'adopt', promptId: promptIdOf(generationId, 3) });
      expect(asked).toEqual([promptIdOf(generationId, 3)]);
      await expect(recordOf(generationId)).resolves.toEqual(open);
    },
  );

  test.each<PromptState>([
    { status: 'absent' },
    { status: 'interrupted' },
    {
      status: 'failed',
      error: { nodeId: '3', nodeType: 'a', exceptionType: 'b', exceptionMessage: 'c', lastTracebackLine: 'd' },
    },
  ])('an open record of this backend whose prompt is $status gets the next number', async (state) => {
    const generationId = await recorded(open);
    const claim = await claiming(buildBackend('gpu-1', state).backend)(generationId);
    expect(claim).toMatchObject({ submission: 4, decision: 'new', promptId: promptIdOf(generationId, 4) });
  });

  test('a record of another backend gets the next number, and nobody is asked about its prompt', async () => {
    const generationId = await recorded({ ...open, backendId: 'gpu-2' });
    const { backend, asked } = buildBackend('gpu-1', { status: 'running' });
    const claim = await claiming(backend)(generationId);
    expect(claim).toMatchObject({ submission: 4, decision: 'new', backendId: 'gpu-1' });
    expect(asked).toEqual([]);
    await expect(recordOf(generationId)).resolves.toMatchObject({ submission: 4, backendId: 'gpu-1', ended: false });
  });

  test('after a reset the claim of the run before leads to the backend that holds it, and the gate here counts nothing', async () => {
    const held = { submission: 3, backendId: 'gpu-2', ended: false, runId: 'run-0' };
    const generationId = await recorded(held);
    await store.writeJson(backendReportKey('gpu-2'), buildReport({ backendId: 'gpu-2', device: 'cpu' }), {
      kind: 'always',
    });
    const told: string[] = [];
    const { backend, asked } = buildBackend('gpu-1', { status: 'running' });
    const claim = await claiming(backend, (id) => told.push(id))(generationId, [1], { lastSubmission: 1 });
    expect(claim).toEqual({
      ...{ backendId: 'gpu-2', taskQueue: 'gpu@gpu-2', submission: 3, decision: 'adopt', device: 'cpu' },
      promptId: promptIdOf(generationId, 3),
    });
    expect([told, asked]).toEqual([[], []]);
    await expect(recordOf(generationId)).resolves.toEqual(held);
  });

  test.each([
    ['this run made it, and its answer was lost before anything was submitted', 'run-1', 0],
    ['this run has tried it already', 'run-0', 3],
  ])('the claim of another backend is taken over when %s', async (_why, runId, lastSubmission) => {
    const generationId = await recorded({ submission: 3, backendId: 'gpu-2', ended: false, runId });
    const claim = await claiming(buildBackend().backend)(generationId, [], { lastSubmission });
    expect(claim).toMatchObject({ submission: 4, decision: 'new', backendId: 'gpu-1' });
  });

  test('a submission that the Workflow has seen end is not adopted, though its prompt has succeeded', async () => {
    const generationId = await recorded(open);
    const { backend } = buildBackend('gpu-1', { status: 'succeeded', finished });
    await expect(claiming(backend)(generationId, [1, 2, 3])).resolves.toMatchObject({ submission: 4, decision: 'new' });
  });

  test('a generation that has ended is never claimed again', async () => {
    const generationId = await recorded({ ...open, ended: true });
    const told: string[] = [];
    const failure = await failureOf(claiming(buildBackend().backend, (id) => told.push(id))(generationId));
    expect(failure).toMatchObject({ type: 'ALREADY_ENDED', nonRetryable: true });
    expect(told).toEqual([]);
    await expect(recordOf(generationId)).resolves.toEqual({ ...open, ended: true });
  });

  test('after a reset: a prompt of another graph is stopped and not adopted, here and elsewhere', async () => {
    const other = { ...open, runId: 'run-0', graphSha256: 'b'.repeat(64) };
    const { backend, stopped } = buildBackend('gpu-1', { status: 'running' });
    const generationId = await recorded(other);
    const here = await claiming(backend)(generationId);
    expect(here).toMatchObject({ decision: 'new', submission: 4, backendId: 'gpu-1' });
    expect(stopped).toEqual([promptIdOf(generationId, 3)]);
    const elsewhere = await claiming(buildBackend('gpu-2').backend)(await recorded(other));
    expect(elsewhere).toMatchObject({ decision: 'new', submission: 4, backendId: 'gpu-2' });
  });

  test('a backend on which the generation has failed leaves it to others', async () => {
    const discoverBackend = createDiscoverBackend({
      ...{ backend: buildBackend('gpu-1').backend, store, late: current, ...WITHOUT_NEEDS },
      slots: { claimed: () => undefined, refusal: () => null },
    });
    const generationId = uniqueName('g');
    const input = { generationId, endedSubmissions: [], lastSubmission: 0, ...SAME, avoid: ['gpu-1'] };
    await expect(failureOf(environment().run(discoverBackend, input))).resolves.toMatchObject({
      ...{ type: 'NETWORK_ERROR', nonRetryable: false },
      message: expect.stringContaining('has failed on gpu-1 before'),
    });
    await expect(recordOf(generationId)).resolves.toBeUndefined();
  });

  test('R4.7 a card that is too small leaves it to a larger one, for as long as there may be one', async () => {
    const small = {
      ...buildBackend('small').backend,
      snapshot: snapshotOf({ hardware: 'gpu', vramTotalBytes: 8 * GIB }),
    };
    const told = async (backendId: string, facts: Partial<BackendReport> = {}) =>
      store.writeJson(backendReportKey(backendId), buildReport({ backendId, hardware: 'gpu', ...facts }), {
        kind: 'always',
      });
    const graph = {};
    const attempt = async (facts: { vramGb?: number; avoid?: readonly string[] } = { vramGb: 10 }) => {
      const discoverBackend = createDiscoverBackend({
        ...{ backend: small, store, late: current, readKeptGraph: async () => graph, pool: 'vram' },
        slots: { claimed: () => undefined, refusal: () => null },
      });
      const input = { generationId: uniqueName('g'), endedSubmissions: [], lastSubmission: 0, ...SAME, ...facts };
      return environment()
        .run(discoverBackend, input)
        .then(
          ({ backendId }) => backendId,
          (error: unknown) => String(error),
        );
    };
    await told('small', { pool: 'vram' });
    expect(await attempt()).toBe('small'); // nobody else: an estimate is only one
    await told('large', { pool: 'other', vramTotalBytes: 24 * GIB });
    expect(await attempt()).toBe('small');
    await told('large', { pool: 'vram', vramTotalBytes: 24 * GIB });
    expect(await attempt()).toMatch(/small lacks VRAM: needs about 10 GB, has 8\.0 GB; large may have it/);
    expect(await attempt({ vramGb: 8 })).toBe('small');
    expect(await attempt({})).toBe('small');
    expect(await attempt({ vramGb: 10, avoid: ['large'] })).toBe('small'); // it has failed there
    for (const facts of [{ gate: 'draining' }, { health: 'down' }, { vramTotalBytes: 8 * GIB }] as const) {
      await told('large', { pool: 'vram', vramTotalBytes: 24 * GIB, ...facts });
      expect(await attempt()).toBe('small');
    }
    for (const facts of [{ hardware: 'low-vram', vramTotalBytes: 4 * GIB }, { vramTotalBytes: null }] as const) {
      await told('large', { pool: 'vram', ...facts });
      expect(await attempt()).toMatch(/large may have it/);
    }
  });

  test('an attempt that was given up while its worker was stopped does not move the fence', async () => {
    const generationId = await recorded(open);
    const discoverBackend = createDiscoverBackend({
      backend: buildBackend('gpu-2').backend,
      store,
      ...WITHOUT_NEEDS,
      slots: { claimed: () => undefined, refusal: () => null },
      late: {
        ensureCurrent: async () => {
          throw ApplicationFailure.nonRetryable('given up');
        },
      },
    });
    const failure = await failureOf(
      environment().run(discoverBackend, { generationId, endedSubmissions: [], lastSubmission: 0, ...SAME }),
    );
    expect(failure.message).toBe('given up');
    await expect(recordOf(generationId)).resolves.toEqual(open);
  });

  test('claims that race never get the same number', async () => {
    const generationId = uniqueName('g');
    const backends = ['a', 'b', 'c', 'd', 'e', 'f'].map((id) => buildBackend(id).backend);
    const claims = await Promise.all(backends.map(async (backend) => claiming(backend)(generationId)));
    expect(claims.map(({ submission }) => submission).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
    const last = claims.find(({ submission }) => submission === 6);
    await expect(recordOf(generationId)).resolves.toMatchObject({ submission: 6, backendId: last?.backendId });
  });

  test('a gate that was shut since it let the claim through refuses it at once, to be tried again a second later', async () => {
    const generationId = uniqueName('g');
    const told: string[] = [];
    const failure = await failureOf(
      claiming(
        buildBackend().backend,
        (id) => told.push(id),
        () => 'The gate of backend gpu-1 is draining',
      )(generationId),
    );
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false, nextRetryDelay: '1 second' });
    expect(failure.message).toBe('The gate of backend gpu-1 is draining');
    expect(told).toEqual([]);
    await expect(recordOf(generationId)).resolves.toBeUndefined();
  });

  test('prompts that others have posted since the gate looked refuse a new claim, never one that is adopted', async () => {
    const isFull = (inComfyQueue: number) => (inComfyQueue >= 2 ? 'full' : null);
    const generationId = uniqueName('g');
    const full = { ...buildBackend('gpu-1').backend, use: useWithQueue(2, { status: 'absent' }) };
    await expect(failureOf(claiming(full, undefined, isFull)(generationId))).resolves.toMatchObject({
      message: 'full',
    });
    await expect(recordOf(generationId)).resolves.toBeUndefined();

    const adopting = { ...buildBackend('gpu-1').backend, use: useWithQueue(2, { status: 'running' }) };
    const claim = await claiming(adopting, undefined, isFull)(await recorded(open));
    expect(claim).toMatchObject({ submission: 3, decision: 'adopt' });
  });

  test('R2.2 a backend that fell ill since the gate looked fails with every address and claims nothing', async () => {
    const generationId = uniqueName('g');
    const { backend } = buildBackend();
    const ill: ComfyUIBackend = {
      ...backend,
      use: async () => {
        throw new NoComfyUIError([{ address: '127.0.0.1:8188', said: 'connection refused' }]);
      },
    };
    const failure = await failureOf(claiming(ill)(generationId));
    expect(failure).toMatchObject({ type: 'NETWORK_ERROR', nonRetryable: false });
    expect(failure.message).toContain('127.0.0.1:8188 (connection refused)');
    await expect(recordOf(generationId)).resolves.toBeUndefined();
  });
});

describe('Prompt ids', () => {
  test('follow from generation and submission, as lower-case UUIDs of version 5', () => {
    expect(promptIdOf('g-1', 1)).toBe(promptIdOf('g-1', 1));
    expect(new Set([promptIdOf('g-1', 1), promptIdOf('g-1', 2), promptIdOf('g-2', 1)]).size).toBe(3);
    expect(promptIdOf('g-1', 1)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  test('never change: a prompt that renders while the program is updated must be found', () => {
    expect(promptIdOf('g-1', 1)).toBe('3306554b-2399-5e77-921e-12dfd0941981');
  });

  test('a cancel ends a claim at once while ComfyUI is silent, and the record is not touched', async () => {
    const generationId = uniqueName('g');
    const world = environment();
    let isAsked = false;
    const client: ComfyUIClient = {
      ...clientAt('http://127.0.0.1:1'),
      queueRemaining: async () => {
        isAsked = true;
        return new Promise<never>(() => undefined);
      },
    };
    const discoverBackend = createDiscoverBackend({
      backend: knownBackend(client),
      store,
      ...WITHOUT_NEEDS,
      slots: { claimed: () => undefined, refusal: () => null },
      late: current,
    });
    const running = world.run(discoverBackend, { generationId, endedSubmissions: [], lastSubmission: 0, ...SAME });
    await until('it is asked', async () => isAsked);
    world.cancel('CANCELLED');
    await expect(running).rejects.toMatchObject({ name: 'CancelledFailure' });
    expect(await recordOf(generationId)).toBeUndefined();
  });
});
