import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker, bundleWorkflowCode } from '@temporalio/worker';
import type { WorkflowBundle } from '@temporalio/worker';
import { refusedClaim } from '../../activities/failures/refused-claim.js';
import type { QueueDemand } from '../../workflows/contracts/fleet-demand.js';
import { GatedQueues } from '../../workers/gated-queues.js';
import type { Gate } from '../../workers/gated-queue.js';
import { silentLogger } from '../activities/support/activity-world.js';
import { createTestNamespace, testServers, uniqueName } from '../support/stack.js';
import { until } from '../support/until.js';
import type { claimInTurn } from './support/claiming-workflow.js';

const workflowsPath = fileURLToPath(new URL('./support/claiming-workflow.ts', import.meta.url));

let connection: NativeConnection;
let client: Client;
let workflowBundle: WorkflowBundle;

beforeAll(async () => {
  const namespace = await createTestNamespace();
  connection = await NativeConnection.connect({ address: testServers().temporalAddress });
  client = new Client({ connection, namespace });
  workflowBundle = await bundleWorkflowCode({ workflowsPath });
}, 120_000);

afterAll(async () => {
  await connection.close();
});

const QUEUES = ['gpu', 'gpu.default.a.safetensors', 'gpu.default.b.safetensors'] as const;

/** One place, and what was counted at it. */
class OnePlace implements Gate {
  held = 0;
  most = 0;
  readonly #waiting = new Set<() => void>();

  async reserve(abortSignal: AbortSignal): Promise<void> {
    while (this.held > 0) {
      abortSignal.throwIfAborted();
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
        abortSignal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    abortSignal.throwIfAborted();
    this.take();
  }

  take(): void {
    this.held += 1;
    this.most = Math.max(this.most, this.held);
  }

  release(): void {
    this.held -= 1;
    for (const wake of [...this.#waiting]) wake();
    this.#waiting.clear();
  }

  async admits(): Promise<boolean> {
    return this.held <= 1;
  }
}

function world(demand: () => readonly QueueDemand[]) {
  const place = new OnePlace();
  const seen = { running: 0, most: 0, claims: 0, changes: 0, polls: QUEUES[0] as string };
  const queues = new GatedQueues({
    home: QUEUES[0],
    gate: place,
    demand: { queues: async () => demand() },
    chooser: () => ({ backendId: 'gpu-1', offers: null, loadedModels: [], affinityMs: 0 }),
    createWorker: async (queue) =>
      Worker.create({
        ...{ connection, namespace: client.options.namespace, taskQueue: queue.taskQueue },
        activities: {
          claim: async () => {
            const refusal = await queue.refusal();
            if (refusal !== null) throw refusedClaim(refusal);
            seen.running += 1;
            seen.most = Math.max(seen.most, seen.running);
            await new Promise((resolve) => setTimeout(resolve, 5));
            seen.running -= 1;
            seen.claims += 1;
            queue.claimed();
          },
        },
        tuner: {
          activityTaskSlotSupplier: queue,
          workflowTaskSlotSupplier: { type: 'fixed-size', numSlots: 2 },
          localActivityTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
          nexusTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
        },
        activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 1 },
      }),
    logger: silentLogger,
    onChange: (polls) => {
      seen.changes += 1;
      seen.polls = polls;
    },
  });
  return { place, seen, queues };
}

function waitingIn(taskQueue: string, oldestAcceptedAtMs = 0): QueueDemand {
  return {
    ...{ taskQueue, models: [], waiting: 1, topPriority: 3, oldestAcceptedAtMs, leastServed: 0 },
    ...{ isOffered: false, polledBy: [] },
  };
}

async function withWorkflows(count: number, each: number): Promise<void> {
  const taskQueue = uniqueName('claiming');
  const shared = { connection, namespace: client.options.namespace };
  const worker = await Worker.create({ ...shared, workflowBundle, taskQueue });
  await worker.runUntil(async () => {
    await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const order = [...QUEUES.slice(index % QUEUES.length), ...QUEUES.slice(0, index % QUEUES.length)];
        const workflowId = uniqueName('claims');
        const handle = await client.workflow.start<typeof claimInTurn>('claimInTurn', {
          ...{ taskQueue, workflowId, args: [order, each] },
        });
        await handle.result();
        const { events } = await handle.fetchHistory();
        for (const { activityTaskStartedEventAttributes: started } of events ?? []) {
          expect(started?.lastFailure?.timeoutFailureInfo ?? null).toBeNull(); // no claim was handed to a poll that is gone
        }
      }),
    );
  });
}

test('R4.3 two hundred changes with work in every queue: no claim is lost, one at a time, and every permit comes back', async () => {
  // After every claim another queue is the oldest: a change before each poll.
  let claims = (): number => 0;
  const { place, seen, queues } = world(() =>
    QUEUES.map((name, index) => waitingIn(name, (index + claims()) % QUEUES.length)),
  );
  claims = () => seen.claims;
  const running = queues.run();
  await withWorkflows(6, 50);
  queues.shutdown();
  await running;
  process.stdout.write(`${seen.changes} changes of queue, 300 claims\n`);
  expect(seen.changes).toBeGreaterThan(150);
  expect(seen.most).toBe(1);
  expect(place.held).toBe(0);
}, 300_000);

test('R4.3 without a demand the backend stays on the queue that it polls', async () => {
  let demand: readonly QueueDemand[] = [waitingIn(QUEUES[1])];
  const { seen, queues } = world(() => demand);
  const running = queues.run();
  await until('it changes', async () => seen.polls === QUEUES[1], 30_000);
  demand = [];
  await new Promise((resolve) => setTimeout(resolve, 1_500)); // three looks
  expect(seen).toMatchObject({ polls: QUEUES[1], changes: 1 });
  demand = [waitingIn(QUEUES[2])];
  await until('it changes again', async () => seen.polls === QUEUES[2], 30_000);
  queues.shutdown();
  await running;
}, 90_000);

test('R4.3 a queue that is said to have work and has none is left for one that has', async () => {
  const { seen, queues } = world(() => [waitingIn(QUEUES[1], 0), waitingIn(QUEUES[2], 1)]);
  const running = queues.run();
  await until('it polls the one', async () => seen.polls === QUEUES[1], 30_000);
  await until('it polls the other', async () => seen.polls === QUEUES[2], 30_000);
  queues.shutdown();
  await running;
}, 90_000);

test('a Worker that cannot be made ends all, with its reason', async () => {
  const failing = new GatedQueues({
    home: 'gpu',
    gate: new OnePlace(),
    demand: { queues: async () => [] },
    chooser: () => ({ backendId: 'gpu-1', offers: null, loadedModels: [], affinityMs: 0 }),
    createWorker: async () => {
      throw new Error('no connection');
    },
    logger: silentLogger,
    onChange: () => undefined,
  });
  await expect(failing.run()).rejects.toThrow('no connection');
  expect(failing.getState()).toBe('STOPPING');
});
