import { afterEach, describe, expect, test } from '@jest/globals';
import type { ComfyUIBackend } from '../../activities/comfyui/comfyui-backend.js';
import { ComfyUIUnreachableError } from '../../activities/comfyui/errors.js';
import { GateSwitch } from '../../activities/comfyui/gate-switch.js';
import type { GatePosition } from '../../activities/comfyui/gate-switch.js';
import { initialProgress } from '../../activities/comfyui/rendering-progress.js';
import type { RenderingProgress } from '../../activities/comfyui/rendering-progress.js';
import { GpuSlots } from '../../workers/gpu-slots.js';
import { textToImage } from '../simulator/graphs.js';
import { until } from '../support/until.js';
import { backendAt, clientAt, closeConnections, knownBackend, silentLogger } from './support/activity-world.js';
import { queued } from './support/prompts.js';
import { simulator, stopSimulators } from './support/simulators.js';

const waiting: AbortController[] = [];
afterEach(async () => {
  for (const controller of waiting.splice(0)) controller.abort(new Error('the test is over'));
  await closeConnections();
  await stopSimulators();
});

/** A gate before a ComfyUI whose queue the test sets; `queue` may also be an error. */
function gate(maxGpuJobs: number, prefetch = 0) {
  const world = { queue: 0 as number | Error, looks: 0, fault: null as string | null, faultLooks: 0 };
  const client = {
    ...clientAt('http://127.0.0.1:1'),
    queueRemaining: async () => {
      world.looks += 1;
      if (world.queue instanceof Error) throw world.queue;
      return world.queue;
    },
  };
  const backend: ComfyUIBackend = knownBackend(client);
  const gateSwitch = new GateSwitch();
  const surroundings = {
    fault: async () => {
      world.faultLooks += 1;
      return world.fault;
    },
  };
  const slots = new GpuSlots({ backend, gate: gateSwitch, surroundings, maxGpuJobs, prefetch, logger: silentLogger });
  const reserve = () => {
    const controller = new AbortController();
    waiting.push(controller);
    const seen = { isGiven: false, controller, permit: Promise.resolve() };
    seen.permit = slots.reserve(controller.signal).then(() => {
      seen.isGiven = true;
    });
    seen.permit.catch(() => undefined);
    return seen;
  };
  /** The gate has looked twice since now, and has had every reason to open. */
  const looksTwice = async () => {
    const before = world.faultLooks; // every look begins with it
    await until('the gate looks twice', async () => world.faultLooks >= before + 2);
  };
  return { world, backend, gateSwitch, slots, reserve, looksTwice };
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

  test('a gate that is full of what it promised asks ComfyUI nothing', async () => {
    const { world, slots, reserve, looksTwice } = gate(2);
    slots.claimed('g-1');
    await reserve().permit;
    const next = reserve();
    const asked = world.looks;
    await looksTwice();
    expect(world.looks).toBe(asked);
    slots.submitting('g-1')();
    await next.permit;
  });

  test('a permit that is given back lets the next one in', async () => {
    const { slots, reserve, looksTwice } = gate(1);
    await reserve().permit;
    const next = reserve();
    await looksTwice();
    expect(next.isGiven).toBe(false);
    slots.release();
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

  test('the place of a run that has just ended, and of one that failed and comes back, is not given away', async () => {
    const { slots, reserve, looksTwice } = gate(1);
    const settled = slots.ending('g-1');
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    settled();
    slots.keep('g-1');
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    slots.drop('g-1'); // it could not claim again
    await permit.permit;
  });

  test('a place that is kept for a generation that does not come back is free after five seconds', async () => {
    const { slots, reserve } = gate(1);
    slots.keep('g-1');
    const startedAt = performance.now();
    await reserve().permit;
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(4_500);
    expect(tookMs).toBeLessThan(9_000);
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
    await until('every one has looked', async () => world.faultLooks >= all.length);
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

  test('an object store or a spool that fails gives no permit, until it works again', async () => {
    const { world, reserve } = gate(1);
    world.fault = 'the object store does not answer';
    const permit = reserve();
    await until('it looks twice', async () => world.faultLooks >= 2);
    expect(permit.isGiven).toBe(false);
    expect(world.looks).toBe(0);
    world.fault = null;
    await permit.permit;
  });

  test.each<GatePosition>(['draining', 'closed'])(
    'a gate that an operator has set to %s gives no permit, refuses the claim of an older one, and opens at once',
    async (position) => {
      const { world, gateSwitch, slots, reserve } = gate(2);
      gateSwitch.set(position);
      const permit = reserve();
      await until('it looks all the same, which is how a restart of ComfyUI is seen', async () => world.looks > 1);
      expect(permit.isGiven).toBe(false);
      expect(slots.refusal(0)).toBe(`The gate of backend gpu-1 is ${position}`);
      gateSwitch.set('open');
      await permit.permit;
      expect(slots.refusal(1)).toBeNull();
      expect(slots.refusal(2)).toMatch(/2 prompts/);
    },
  );
});

test('R4.3 a gate that ComfyUI has told of its queue asks now and then, and opens at the event', async () => {
  const comfy = await simulator({ secondsPerStep: 0.1 });
  const backend = backendAt(comfy.url);
  const told: (number | null)[] = [];
  const count = { looks: 0, asked: 0 };
  const surroundings = {
    fault: async () => {
      count.looks += 1;
      return null;
    },
  };
  const slots = new GpuSlots({
    backend: {
      ...backend,
      use: async (exchange) => {
        count.asked += 1;
        return backend.use(exchange);
      },
    },
    ...{ gate: new GateSwitch(), surroundings, maxGpuJobs: 1, prefetch: 0, logger: silentLogger },
    onQueue: (remaining) => told.push(remaining),
  });
  try {
    await backend.client();
    const promptId = await queued(comfy.url, textToImage({ steps: 400 }));
    await until('ComfyUI tells of the prompt', async () => told.at(-1) === 1);
    const permit = slots.reserve(new AbortController().signal);
    const before = { ...count };
    await until('the gate looks six times', async () => count.looks >= before.looks + 6);
    expect(count.asked - before.asked).toBeLessThan(4);
    await backend.use(async (client) => client.stop(promptId));
    await permit;
  } finally {
    slots.close();
  }
});

describe('R4.3 the prefetch slot', () => {
  const graph = textToImage({ steps: 20 });
  const samplingAt = (step: number): RenderingProgress => ({ ...initialProgress(7), nodeId: '3', step, steps: 20 });

  test('stays shut while nobody knows how long the running prompt takes', async () => {
    const { world, reserve, looksTwice } = gate(1, 1);
    world.queue = 1; // of somebody else
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    world.queue = 0;
    await permit.permit;
  });

  test('opens when what runs is expected to end within three seconds, and not for a second prompt', async () => {
    const { world, backend, reserve, looksTwice } = gate(1, 1);
    world.queue = 1;
    const startedAtMs = Date.now();
    backend.forecast.observed('p-1', startedAtMs, samplingAt(1));
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    backend.forecast.observed('p-1', startedAtMs, samplingAt(19));
    await permit.permit;
    const second = reserve();
    await looksTwice();
    expect(second.isGiven).toBe(false);
  });

  test('stays shut while a claim is on its way: how long that one will render nobody knows', async () => {
    const { slots, reserve, looksTwice } = gate(1, 1);
    slots.claimed('g-1');
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    slots.submitting('g-1')();
    await permit.permit;
  });

  test('opens at once for a graph of a kind that was quick before', async () => {
    const { world, backend, reserve, looksTwice } = gate(1, 1);
    backend.forecast.submitted('p-1', graph);
    backend.forecast.ended('p-1', { hasSucceeded: true });
    world.queue = 1;
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
    backend.forecast.submitted('p-2', textToImage({ steps: 20, seed: 77, promptText: 'another text' }));
    await permit.permit;
  });

  test('does not exist with PREFETCH=0', async () => {
    const { world, backend, reserve, looksTwice } = gate(1, 0);
    world.queue = 1;
    backend.forecast.observed('p-1', Date.now(), samplingAt(1));
    backend.forecast.observed('p-1', Date.now(), samplingAt(20));
    const permit = reserve();
    await looksTwice();
    expect(permit.isGiven).toBe(false);
  });
});
