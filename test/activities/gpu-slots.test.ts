import { afterEach, describe, expect, test } from '@jest/globals';
import type { SlotReserveContext } from '@temporalio/worker';
import type { ComfyUIBackend } from '../../activities/comfyui/comfyui-backend.js';
import { ComfyUIUnreachableError } from '../../activities/comfyui/errors.js';
import { GpuSlots } from '../../workers/gpu-slots.js';
import { until } from '../support/until.js';
import { clientAt, closeConnections, knownBackend, silentLogger } from './support/activity-world.js';

const context: SlotReserveContext = {
  slotType: 'activity',
  taskQueue: 'gpu',
  workerIdentity: 'gpu-1 claims',
  workerDeploymentVersion: undefined,
  isSticky: false,
} as unknown as SlotReserveContext;

const waiting: AbortController[] = [];
afterEach(async () => {
  for (const controller of waiting.splice(0)) controller.abort(new Error('the test is over'));
  await closeConnections();
});

/** A gate before a ComfyUI whose queue the test sets; `queue` may also be an error. */
function gate(capacity: number) {
  const world = { queue: 0 as number | Error, looks: 0 };
  const client = {
    ...clientAt('http://127.0.0.1:1'),
    queueRemaining: async () => {
      world.looks += 1;
      if (world.queue instanceof Error) throw world.queue;
      return world.queue;
    },
  };
  const backend: ComfyUIBackend = knownBackend(client);
  const slots = new GpuSlots({ backend, capacity, logger: silentLogger });
  const reserve = () => {
    const controller = new AbortController();
    waiting.push(controller);
    const seen = { isGiven: false, controller, permit: Promise.resolve() };
    seen.permit = slots.reserveSlot(context, controller.signal).then(() => {
      seen.isGiven = true;
    });
    seen.permit.catch(() => undefined);
    return seen;
  };
  /** The gate has looked twice since now, and has had every reason to open. */
  const looksTwice = async () => {
    const before = world.looks;
    await until('the gate looks twice', async () => world.looks >= before + 2);
  };
  return { world, slots, reserve, looksTwice };
}

describe('R4.3 GPU slots', () => {
  test('as many permits as the capacity are given at once, and not one more', async () => {
    const { reserve, looksTwice } = gate(2);
    const [first, second] = [reserve(), reserve()];
    await Promise.all([first.permit, second.permit]);
    const third = reserve();
    await looksTwice();
    expect(third.isGiven).toBe(false);
  });

  test('a permit that is given back lets the next one in', async () => {
    const { slots, reserve, looksTwice } = gate(1);
    await reserve().permit;
    const next = reserve();
    await looksTwice();
    expect(next.isGiven).toBe(false);
    slots.releaseSlot();
    await next.permit;
  });

  test('what others have posted to ComfyUI counts, and lets go when it is rendered', async () => {
    const { world, reserve, looksTwice } = gate(2);
    world.queue = 2;
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    world.queue = 1;
    await permit.permit;
  });

  test('a claim counts until its prompt is in the queue', async () => {
    const { world, slots, reserve, looksTwice } = gate(1);
    slots.claimed('g-1');
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    const settled = slots.submitting('g-1');
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    world.queue = 1;
    settled();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    world.queue = 0;
    await permit.permit;
  });

  test('permits, claims and the queue count together; the same claim counts once', async () => {
    const { world, slots, reserve, looksTwice } = gate(4);
    world.queue = 1;
    slots.claimed('g-1');
    slots.claimed('g-1');
    const [first, second] = [reserve(), reserve()];
    await Promise.all([first.permit, second.permit]);
    const third = reserve();
    await looksTwice();
    expect(third.isGiven).toBe(false);
    slots.submitting('g-1')();
    await third.permit;
  });

  test('permits that race at an open gate never exceed the capacity', async () => {
    const { world, reserve } = gate(3);
    const all = Array.from({ length: 12 }, reserve);
    await Promise.all(all.slice(0, 3).map(async ({ permit }) => permit));
    await until('every one has looked', async () => world.looks >= all.length);
    await new Promise(setImmediate);
    expect(all.filter(({ isGiven }) => isGiven)).toHaveLength(3);
  });

  test('a backend that does not answer gives no permit, and is asked again until it does', async () => {
    const { world, reserve, looksTwice } = gate(1);
    world.queue = new ComfyUIUnreachableError('a', 'refused', { cause: new Error('connection refused') });
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    world.queue = 0;
    await permit.permit;
  });

  test('an error that nobody thought of does not open the gate either', async () => {
    const { world, reserve, looksTwice } = gate(1);
    world.queue = new TypeError('a bug');
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
  });

  test('a wait that is aborted ends with the reason it was given, and takes no permit', async () => {
    const { world, reserve, looksTwice } = gate(1);
    world.queue = 1;
    const { permit, controller } = reserve();
    await looksTwice();
    controller.abort(new Error('the worker stops'));
    await expect(permit).rejects.toThrow('the worker stops');
    world.queue = 0;
    await reserve().permit;
  });

  test('nothing is handed out without looking', () => {
    expect(gate(9).slots.tryReserveSlot()).toBeNull();
  });
});
