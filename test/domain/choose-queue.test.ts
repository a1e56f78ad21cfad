import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { canServe, chooseQueue } from '../../workflows/domain/choose-queue.js';
import type { Chooser, QueueChoice } from '../../workflows/domain/choose-queue.js';

const MODELS = ['a.safetensors', 'b.safetensors', 'c.safetensors', 'd.safetensors'];

function queueOf(index: number, rest: Partial<QueueChoice> = {}): QueueChoice {
  const model = MODELS[index] ?? '';
  return {
    ...{ taskQueue: `gpu.default.${model}`, models: [model], waiting: 1, topPriority: 3, oldestAcceptedAtMs: 0 },
    ...{ leastServed: 0, isOffered: true, polledBy: [], ...rest },
  };
}

const chooser: Chooser = { backendId: 'gpu-1', offers: new Set(MODELS), loadedModels: [], affinityMs: 30_000 };
const loaded = (index: number): Chooser => ({ ...chooser, loadedModels: [MODELS[index] ?? ''] });

const queues = fc.uniqueArray(
  fc.record({
    index: fc.nat(MODELS.length - 1),
    waiting: fc.nat(3),
    topPriority: fc.integer({ min: 1, max: 5 }),
    oldestAcceptedAtMs: fc.nat(100_000),
    leastServed: fc.nat(3),
    isOffered: fc.boolean(),
    polledBy: fc.subarray(['gpu-1', 'gpu-2']),
  }),
  { selector: ({ index }) => index },
);
const someQueues = queues.map((all) => all.map(({ index, ...rest }) => queueOf(index, rest)));
const choosers = fc.record({
  backendId: fc.constantFrom('gpu-1', 'gpu-2', 'gpu-3'),
  offers: fc.option(fc.subarray(MODELS).map((files) => new Set(files))),
  loadedModels: fc.subarray(MODELS, { maxLength: 1 }),
  affinityMs: fc.nat(60_000),
});

describe('R4.3 which queue a backend polls', () => {
  test('one that it can serve and that has work, whenever there is one, and never another', () => {
    fc.assert(
      fc.property(someQueues, choosers, (all, self) => {
        const servable = all.filter((queue) => queue.waiting > 0 && canServe(queue, self));
        const chosen = chooseQueue(all, self);
        expect(chosen === null).toBe(servable.length === 0);
        if (chosen !== null) expect(servable.map(({ taskQueue }) => taskQueue)).toContain(chosen);
      }),
    );
  });

  test('the best priority strictly, then the accounts that have the fewest GPUs', () => {
    fc.assert(
      fc.property(someQueues, choosers, (all, self) => {
        const servable = all.filter((queue) => queue.waiting > 0 && canServe(queue, self));
        const chosen = servable.find(({ taskQueue }) => taskQueue === chooseQueue(all, self));
        fc.pre(chosen !== undefined);
        const better = servable.filter(
          ({ topPriority, leastServed }) =>
            topPriority < chosen.topPriority ||
            (topPriority === chosen.topPriority && leastServed < chosen.leastServed),
        );
        expect(better).toEqual([]);
      }),
    );
  });

  test('the models in memory win for as long as nobody equal waits much longer', () => {
    fc.assert(
      fc.property(someQueues, choosers, (all, self) => {
        const chosen = all.find(({ taskQueue }) => taskQueue === chooseQueue(all, self));
        fc.pre(chosen !== undefined);
        const equals = all.filter(
          (queue) =>
            queue.waiting > 0 &&
            canServe(queue, self) &&
            queue.topPriority === chosen.topPriority &&
            queue.leastServed === chosen.leastServed,
        );
        const oldestMs = Math.min(...equals.map(({ oldestAcceptedAtMs }) => oldestAcceptedAtMs));
        expect(chosen.oldestAcceptedAtMs - oldestMs).toBeLessThanOrEqual(self.affinityMs);
        const own = equals.find(({ models }) => models[0] === self.loadedModels[0]);
        if (own !== undefined && own.oldestAcceptedAtMs - oldestMs <= self.affinityMs) expect(chosen).toBe(own);
      }),
    );
  });

  test('what nobody offers may be taken by anyone, so that its failure can say what is missing', () => {
    const poor = { ...chooser, offers: new Set<string>() };
    expect(chooseQueue([queueOf(0)], poor)).toBeNull();
    expect(chooseQueue([queueOf(0, { isOffered: false })], poor)).toBe(queueOf(0).taskQueue);
  });

  test('idle backends spread over the queues: one that nobody polls first, else each in an order of its own', () => {
    expect(chooseQueue([queueOf(0, { polledBy: ['gpu-2'] }), queueOf(1)], chooser)).toBe(queueOf(1).taskQueue);
    const ids = Array.from({ length: 16 }, (_, index) => `gpu-${index}`);
    const all = MODELS.map((_, index) => queueOf(index));
    const chosen = ids.map((backendId) => chooseQueue(all, { ...chooser, backendId }));
    expect(new Set(chosen).size).toBe(MODELS.length);
  });

  test('a poll of its own is no reason to leave', () => {
    const [own, other] = [queueOf(0, { polledBy: ['gpu-1'] }), queueOf(1)];
    expect(chooseQueue([own, other], loaded(0))).toBe(own.taskQueue);
  });
});

/** One account, so that only priority and age count; a generation is {queue, priority, round of its arrival}. */
interface Waiting {
  readonly index: number;
  readonly priority: number;
  readonly acceptedAtMs: number;
}

const ROUND_MS = 1_000;

function demandOf(waiting: readonly Waiting[]): readonly QueueChoice[] {
  return MODELS.flatMap((_, index) => {
    const own = waiting.filter((each) => each.index === index);
    if (own.length === 0) return [];
    const topPriority = Math.min(...own.map(({ priority }) => priority));
    const top = own.filter(({ priority }) => priority === topPriority);
    const oldestAcceptedAtMs = Math.min(...top.map(({ acceptedAtMs }) => acceptedAtMs));
    return [queueOf(index, { waiting: own.length, topPriority, oldestAcceptedAtMs })];
  });
}

/** Within a queue Temporal goes by priority and age. */
function served(waiting: readonly Waiting[], index: number): Waiting | undefined {
  return waiting
    .filter((each) => each.index === index)
    .sort((left, right) => left.priority - right.priority || left.acceptedAtMs - right.acceptedAtMs)[0];
}

describe('R4.3 nobody starves', () => {
  test('over many rounds of one backend each waits no longer than the bound of the affinity and the work before it', () => {
    const arrivals = fc.array(fc.array(fc.nat(MODELS.length - 1), { maxLength: 2 }), { minLength: 20, maxLength: 120 });
    fc.assert(
      fc.property(arrivals, fc.nat(8), (rounds, affinityRounds) => {
        const self = { ...chooser, affinityMs: affinityRounds * ROUND_MS };
        let waiting: readonly Waiting[] = [];
        let loadedModels: readonly string[] = [];
        for (let round = 0; round < rounds.length || waiting.length > 0; round += 1) {
          const arrived = (rounds[round] ?? []).map((index) => ({
            index,
            priority: 3,
            acceptedAtMs: round * ROUND_MS,
          }));
          waiting = [...waiting, ...arrived];
          const chosen = chooseQueue(demandOf(waiting), { ...self, loadedModels });
          if (chosen === null) continue;
          const next = served(
            waiting,
            MODELS.findIndex((model) => chosen.endsWith(model)),
          );
          if (next === undefined) throw new Error('an empty queue was chosen');
          // Whoever came more than the bound before the one that is served is not passed over.
          const passedOver = waiting.filter(({ acceptedAtMs }) => next.acceptedAtMs - acceptedAtMs > self.affinityMs);
          expect(passedOver).toEqual([]);
          waiting = waiting.filter((each) => each !== next);
          loadedModels = [MODELS[next.index] ?? ''];
        }
      }),
    );
  });

  test('a flood of one account does not keep the single request of another from the next place', () => {
    const flood = queueOf(0, { waiting: 1_000, oldestAcceptedAtMs: 0, leastServed: 1 });
    const single = queueOf(1, { oldestAcceptedAtMs: 900_000, leastServed: 0 });
    expect(chooseQueue([flood, single], loaded(0))).toBe(single.taskQueue);
  });

  test('five models on four backends: few changes, none forgotten', () => {
    const waiting = Array.from({ length: 400 }, (_, number) => ({
      index: number % 4,
      priority: 3,
      acceptedAtMs: number,
    }));
    const backends = ['gpu-1', 'gpu-2', 'gpu-3'].map((backendId) => ({
      backendId,
      loadedModels: [] as readonly string[],
    }));
    let left: readonly Waiting[] = waiting;
    let swaps = 0;
    while (left.length > 0) {
      for (const backend of backends) {
        const chosen = chooseQueue(demandOf(left), { ...chooser, ...backend });
        if (chosen === null) break;
        const next = served(
          left,
          MODELS.findIndex((model) => chosen.endsWith(model)),
        );
        left = left.filter((each) => each !== next);
        const model = MODELS[next?.index ?? 0] ?? '';
        if (backend.loadedModels[0] !== model) swaps += 1;
        backend.loadedModels = [model];
      }
    }
    expect(swaps).toBeLessThan(20); // at random three of four are
  });
});
