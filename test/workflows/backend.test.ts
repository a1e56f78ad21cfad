import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import { Client, WithStartWorkflowOperation, WorkflowUpdateFailedError } from '@temporalio/client';
import type { WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createObserveBackend } from '../../activities/observe-backend.js';
import { projectRoot } from '../../infra/runtime/project-root.js';
import {
  OPERATE_BACKEND,
  acquireUpdate,
  backendStateQuery,
  backendWorkflowId,
  drainSignal,
  emergencyOverSignal,
  emergencyStopSignal,
  quarantineSignal,
  resumeSignal,
  summarySignal,
} from '../../workflows/contracts/backend.js';
import type {
  AcquiredBackend,
  BackendHolder,
  BackendOperations,
  BackendState,
  BackendSummary,
} from '../../workflows/contracts/backend.js';
import type { operateBackend } from '../../workflows/operate-backend.js';
import { DEFAULT_TIMINGS, absenceLimitsOf } from '../../workflows/domain/worker-timings.js';
import type { AbsenceLimits } from '../../workflows/domain/worker-timings.js';
import { environment } from '../activities/support/activity-world.js';
import { createTestNamespace, testServers } from '../support/stack.js';
import { until } from '../support/until.js';

let connection: NativeConnection;
let client: Client;
let control: Worker;
let controlling: Promise<void>;
const releases: (() => Promise<void>)[] = [];

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const namespace = await createTestNamespace();
  connection = await NativeConnection.connect({ address: testServers().temporalAddress });
  client = new Client({ connection, namespace });
  const workflowsPath = join(projectRoot, 'workflows', 'index.ts');
  control = await Worker.create({ connection, namespace, taskQueue: 'generation', workflowsPath });
  controlling = control.run();
}, 60_000);

afterAll(async () => {
  for (const release of releases) await release();
  control.shutdown();
  await controlling;
  await connection.close();
}, 30_000);

/** A backend whose worker does what the test says, or tends for as long as it is let. */
async function backend(script: Partial<BackendOperations> = {}) {
  const backendId = `b-${randomUUID().slice(0, 8)}`;
  const calls: string[] = [];
  const worker = await Worker.create({
    connection,
    namespace: client.options.namespace,
    taskQueue: `gpu@${backendId}`,
    maxHeartbeatThrottleInterval: '100 ms',
    activities: {
      async tendBackend(input) {
        calls.push(`tend ${input.holderId}`);
        return (script.tendBackend ?? tendForGood)(input);
      },
      async setGate(input) {
        calls.push(`gate ${input.position}`);
        if (script.setGate !== undefined) return script.setGate(input);
        return { position: input.position, running: 1, pending: 2 };
      },
    } satisfies BackendOperations,
  });
  const running = worker.run();
  releases.push(async () => {
    worker.shutdown();
    await running;
  });
  const handle = client.workflow.getHandle<typeof operateBackend>(backendWorkflowId(backendId));
  const acquire = async (holderId: string, replaces: string | null = null): Promise<AcquiredBackend> =>
    client.workflow.executeUpdateWithStart(acquireUpdate, {
      args: [{ holder: holderOf(holderId), replaces }],
      startWorkflowOperation: new WithStartWorkflowOperation<typeof operateBackend>(OPERATE_BACKEND, {
        workflowId: backendWorkflowId(backendId),
        taskQueue: 'generation',
        workflowIdConflictPolicy: 'USE_EXISTING',
        args: [{ backendId, gate: { isDrained: false, quarantine: null }, holder: null, summary: null }],
      }),
    });
  return { backendId, calls, handle, acquire };
}

async function tendForGood(): Promise<never> {
  const { heartbeat, cancelled } = Context.current();
  const timer = setInterval(() => {
    heartbeat();
  }, 100);
  return cancelled.finally(() => {
    clearInterval(timer);
  });
}

function holderOf(holderId: string): BackendHolder {
  return { holderId, host: 'gpu-host', pid: 7, place: 'here', processStartedAt: '1', since: '2026-01-01T00:00:00Z' };
}

function summaryOf(holderId: string, timesFound: number): BackendSummary {
  return {
    ...{ holderId, health: 'healthy', reason: 'answers', comfyuiVersion: '0.8.0', device: 'gpu', hardware: 'low-vram' },
    ...{ deviceName: 'Test GPU', vramTotalBytes: 8 * 1024 ** 3, timesFound, isIdle: true },
  } as const;
}

async function untilState(
  handle: WorkflowHandle<typeof operateBackend>,
  what: string,
  isSo: (state: BackendState) => boolean,
): Promise<BackendState> {
  return until(what, async () => {
    const state = await handle.query(backendStateQuery);
    return isSo(state) ? state : null;
  });
}

test('the first holder gets the id and is tended; a second one is refused and told who is in its way', async () => {
  const { acquire, calls, handle } = await backend();
  expect(await acquire('a')).toEqual({ gate: 'open', holds: [], canary: null });
  await until('the tending', async () => calls.includes('tend a'));
  const refusal: unknown = await acquire('b').catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(WorkflowUpdateFailedError);
  expect((refusal as WorkflowUpdateFailedError).cause).toMatchObject({
    type: 'BACKEND_HELD',
    details: [{ holderId: 'a', host: 'gpu-host', pid: 7 }],
  });
  expect((await handle.query(backendStateQuery)).holder?.holderId).toBe('a');
});

test('who names the holder as dead takes its place at once, and an outdated name does not count', async () => {
  const { acquire, calls } = await backend();
  await acquire('a');
  await acquire('b', 'a');
  await until('the tending of the new one', async () => calls.includes('tend b'));
  await expect(acquire('c', 'a')).rejects.toThrow(WorkflowUpdateFailedError);
});

test('a holder that lets go is followed by the next without waiting', async () => {
  const { acquire, handle } = await backend({ tendBackend: async () => ({ end: 'stopped' }) });
  await acquire('a');
  await untilState(handle, 'no holder', ({ holder }) => holder === null);
  expect(await acquire('b')).toMatchObject({ gate: 'open' });
});

test('a holder that falls silent loses the id by the heartbeat timeout', async () => {
  const { acquire, handle } = await backend({ tendBackend: async () => Context.current().cancelled });
  await acquire('a');
  await expect(acquire('b')).rejects.toThrow(WorkflowUpdateFailedError);
  await until('the id is free', async () => (await handle.query(backendStateQuery)).holder === null, 40_000);
  expect(await acquire('b')).toMatchObject({ gate: 'open' });
}, 60_000);

test('tending that failed is begun again', async () => {
  let tries = 0;
  const { acquire, calls, handle } = await backend({
    async tendBackend() {
      tries += 1;
      if (tries < 3) throw new Error('another process took the task');
      return tendForGood();
    },
  });
  await acquire('a');
  await until('three tends', async () => calls.length === 3);
  expect((await handle.query(backendStateQuery)).holder?.holderId).toBe('a');
}, 30_000);

test('drain and resume reach the worker, and the next holder finds the backend drained', async () => {
  const { acquire, calls, handle } = await backend();
  await acquire('a');
  await handle.signal(drainSignal);
  const { gateAnswer } = await untilState(handle, 'the answer', (state) => state.gateAnswer !== null);
  expect(gateAnswer).toEqual({ position: 'draining', running: 1, pending: 2 });
  expect(await acquire('b', 'a')).toMatchObject({ gate: 'draining' });
  await handle.signal(resumeSignal);
  await until('the resume', async () => calls.includes('gate open'));
  expect(calls.filter((call) => call.startsWith('gate'))).toEqual(['gate draining', 'gate open']);
});

test('a gate that could not be set is set again, and nobody loses the id for it', async () => {
  let tries = 0;
  const { acquire, handle } = await backend({
    async setGate({ position }) {
      tries += 1;
      if (tries === 1) throw new Error('no');
      return { position, running: null, pending: null };
    },
  });
  await acquire('a');
  await handle.signal(drainSignal);
  const state = await untilState(handle, 'the answer', ({ gateAnswer }) => gateAnswer !== null);
  expect(state.holder?.holderId).toBe('a');
});

test('a quarantine ends when the ComfyUI was found again, not when its worker restarts, and leaves a drain alone', async () => {
  const { acquire, handle } = await backend();
  await acquire('a');
  await handle.signal(summarySignal, summaryOf('a', 1));
  await handle.signal(drainSignal);
  await handle.signal(quarantineSignal, 'cuDNN failed');
  expect((await handle.query(backendStateQuery)).gate).toEqual({ isDrained: true, quarantine: 'cuDNN failed' });
  expect(await acquire('b', 'a')).toMatchObject({ gate: 'closed' });
  await handle.signal(summarySignal, summaryOf('b', 5));
  await handle.signal(summarySignal, summaryOf('a', 9)); // of the holder before
  expect((await handle.query(backendStateQuery)).gate.quarantine).toBe('cuDNN failed');
  await handle.signal(summarySignal, summaryOf('b', 6));
  expect((await handle.query(backendStateQuery)).gate).toEqual({ isDrained: true, quarantine: null });
});

test('a quarantine ends when a worker no longer finds what the one before had seen in the history of the ComfyUI', async () => {
  const { acquire, handle } = await backend();
  await acquire('a');
  const quarantine = async () => (await handle.query(backendStateQuery)).gate.quarantine;
  await handle.signal(quarantineSignal, 'hot');
  await handle.signal(summarySignal, { ...summaryOf('a', 1), canary: 'prompt-1' });
  expect(await acquire('b', 'a')).toMatchObject({ gate: 'closed', canary: 'prompt-1' });
  await handle.signal(summarySignal, { ...summaryOf('b', 0), canary: 'prompt-1' }); // has not looked yet
  await handle.signal(summarySignal, { ...summaryOf('b', 1), canary: 'prompt-2', goneCanary: 'prompt-0' });
  await handle.signal(summarySignal, { ...summaryOf('b', 1), canary: 'prompt-1', goneCanary: 'prompt-0' });
  expect(await quarantine()).toBe('hot');
  await handle.signal(summarySignal, { ...summaryOf('b', 1), canary: 'prompt-3', goneCanary: 'prompt-1' });
  expect(await quarantine()).toBeNull();
  await handle.signal(quarantineSignal, 'hot again');
  await handle.signal(summarySignal, { ...summaryOf('b', 1), canary: 'prompt-3', goneCanary: 'prompt-1' });
  expect(await quarantine()).toBe('hot again');
});

test('the worker is told why its gate is shut, also when only that changes; who gives no reason takes none back', async () => {
  const told: unknown[] = [];
  const { acquire, handle } = await backend({
    async setGate({ position, holds }) {
      told.push([position, ...(holds ?? []).map(({ cause, reason }) => `${cause}: ${String(reason)}`)]);
      return { position, running: null, pending: null };
    },
  });
  await acquire('a');
  const untilTold = async (count: number) => until(`${count} gates are set`, async () => told.length === count);
  await handle.signal(quarantineSignal, 'hot');
  await untilTold(1);
  await handle.signal(emergencyStopSignal, 'smoke');
  await untilTold(2);
  await handle.signal(quarantineSignal);
  await handle.signal(emergencyOverSignal);
  await untilTold(3);
  await handle.signal(resumeSignal);
  await untilTold(4);
  expect(told).toEqual([
    ['closed', 'quarantine: hot'],
    ['closed', 'emergency_stop: smoke', 'quarantine: hot'],
    ['closed', 'quarantine: hot'],
    ['open'],
  ]);
  await handle.signal(quarantineSignal);
  expect((await handle.query(backendStateQuery)).gate.quarantine).toBe('by an operator');
});

test('a quarantine stays when the ComfyUI is only now told to be found, for the first time', async () => {
  const { acquire, handle } = await backend();
  await acquire('a');
  await handle.signal(summarySignal, summaryOf('a', 0)); // told while the worker was still looking for it
  await handle.signal(quarantineSignal, 'cuDNN failed');
  await handle.signal(summarySignal, summaryOf('a', 1));
  expect((await handle.query(backendStateQuery)).gate.quarantine).toBe('cuDNN failed');
});

test('the current details name the holder, the ComfyUI and the gate', async () => {
  const { acquire, handle } = await backend();
  await acquire('a');
  await handle.signal(summarySignal, summaryOf('a', 1));
  await handle.signal(drainSignal);
  const details = await until('the details', async () => {
    const metadata = await handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata');
    return metadata.currentDetails?.includes('set to draining') === true ? metadata.currentDetails : null;
  });
  for (const part of [
    '**healthy** by process 7',
    'ComfyUI 0.8.0 on low-vram',
    '8.0 GiB',
    'Gate **draining**',
    '1 ran',
    '**Idle**',
  ])
    expect(details).toContain(part);
});

/** As many signals as make its history long enough for another run. */
async function untilNextRun(handle: WorkflowHandle<typeof operateBackend>): Promise<void> {
  const { runId } = await handle.describe();
  for (let sent = 0; sent < 1_100; sent += 100)
    await Promise.all(Array.from({ length: 100 }, async () => handle.signal(summarySignal, summaryOf('a', 1))));
  await until('the next run', async () => (await handle.describe()).runId !== runId);
}

test('its history does not grow for ever: it continues as new with its holder and its gate', async () => {
  const { acquire, calls, handle } = await backend();
  await acquire('a');
  await handle.signal(drainSignal);
  await untilNextRun(handle);
  const state = await untilState(handle, 'its state', ({ holder }) => holder !== null);
  expect(state).toMatchObject({ holder: { holderId: 'a' }, gate: { isDrained: true }, summary: { timesFound: 1 } });
  await until('the tending in the next run', async () => calls.filter((call) => call === 'tend a').length === 2);
  expect((await handle.describe()).historyLength).toBeLessThan(100);
}, 60_000);

test('a gate that was not set before it continues as new is set afterwards', async () => {
  let isBroken = true;
  const { acquire, handle } = await backend({
    async setGate({ position }) {
      if (isBroken) throw new Error('no');
      return { position, running: null, pending: null };
    },
  });
  await acquire('a');
  await handle.signal(drainSignal);
  await untilNextRun(handle);
  isBroken = false;
  const { gateAnswer } = await untilState(handle, 'the answer', (state) => state.gateAnswer !== null);
  expect(gateAnswer?.position).toBe('draining');
}, 60_000);

test('an operator may cancel it: the next acquisition starts it again', async () => {
  const { acquire, handle } = await backend();
  await acquire('a');
  await handle.cancel();
  await until('it is cancelled', async () => (await handle.describe()).status.name === 'CANCELLED');
  expect(await acquire('a')).toMatchObject({ gate: 'open' });
});

test.each([
  ['as long as it has said', { silenceSeconds: 4 }, 4],
  ['15 s when it is of an earlier version', {}, 15],
])('a holder may be silent for %s', async (_, said, seconds) => {
  const { backendId, handle, calls } = await backend();
  const holder = { ...holderOf('a'), ...said };
  await client.workflow.start<typeof operateBackend>(OPERATE_BACKEND, {
    workflowId: backendWorkflowId(backendId),
    taskQueue: 'generation',
    args: [{ backendId, gate: { isDrained: false, quarantine: null }, holder, summary: null }],
  });
  await until('the tending', async () => calls.includes('tend a'));
  const { events } = await handle.fetchHistory();
  const [tending] = (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: each }) => each ?? []);
  expect(tending?.activityType?.name).toBe('tendBackend');
  for (const timeout of [tending?.heartbeatTimeout, tending?.scheduleToStartTimeout]) {
    expect(Number(timeout?.seconds)).toBe(seconds);
  }
});

describe('Whether a worker holds a backend, when nobody takes what waits in its queue', () => {
  const observe = async (backendId: string, limits: Partial<AbsenceLimits>) =>
    environment({ currentAttemptScheduledTimestampMs: Date.now() }).run(createObserveBackend({ client }), {
      backendId,
      limits: { ...absenceLimitsOf(DEFAULT_TIMINGS), ...limits },
    });

  test('one that is tended is held', async () => {
    const { backendId, acquire } = await backend();
    await acquire('h-1');
    await expect(observe(backendId, {})).resolves.toEqual({ isHeld: true });
  });

  test('one whose holder has let go, or fell silent, is gone after a while', async () => {
    const { backendId, acquire, handle } = await backend({ tendBackend: async () => ({ end: 'stopped' }) });
    await acquire('h-1');
    await until('it is free', async () => (await handle.query(backendStateQuery)).holder === null);
    const startedAt = performance.now();
    await expect(observe(backendId, { goneAfterMs: 10 })).resolves.toEqual({ isHeld: false });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  test('one that was let go just now is looked at again: its worker may restart', async () => {
    let tends = 0;
    const { backendId, acquire, handle } = await backend({
      tendBackend: async () => {
        tends += 1;
        return tends === 1 ? { end: 'stopped' } : tendForGood();
      },
    });
    await acquire('h-1');
    await until('it is free', async () => (await handle.query(backendStateQuery)).holder === null);
    const observed = observe(backendId, { patienceMs: 60_000, goneAfterMs: 60_000 });
    await acquire('h-2');
    await expect(observed).resolves.toEqual({ isHeld: true });
  });

  test('one whose Workflow was terminated, or that never was, is free until somebody acquires it', async () => {
    const { backendId, acquire, handle } = await backend();
    await acquire('h-1');
    await handle.terminate();
    await expect(observe(backendId, { patienceMs: 10 })).resolves.toEqual({ isHeld: false });
    await expect(observe('nobody', { patienceMs: 10 })).resolves.toEqual({ isHeld: false });
  });
});
