import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { estimateWait } from '../../workflows/domain/queue-estimate.js';
import type { Pace, WaitingGroup } from '../../workflows/domain/queue-estimate.js';

const pace = (changes: Partial<Pace> = {}): Pace => ({
  slots: 1,
  isBusy: false,
  secondsByTemplate: new Map([
    ['card', 10],
    ['video', 100],
  ]),
  ...changes,
});
const group = (changes: Partial<WaitingGroup>): WaitingGroup => ({
  ...{ priority: 3, flow: 'me', template: 'card', count: 1 },
  ...changes,
});
const place = { priority: 3, flow: 'me', template: 'card', aheadInFlow: 0 } as const;

describe('R4.3 how long a generation will wait', () => {
  test.each([
    ['nothing is before it', place, [group({})], pace(), 0],
    ['one renders', place, [group({})], pace({ isBusy: true }), 5],
    ['two of its own are before it', { ...place, aheadInFlow: 2 }, [group({ count: 3 })], pace(), 20],
    ['two GPUs share the work', { ...place, aheadInFlow: 4 }, [group({ count: 5 })], pace({ slots: 2 }), 20],
    ['all of a better priority come first', place, [group({ priority: 1, flow: 'x', count: 7 })], pace(), 70],
    ['none of a worse priority does', place, [group({ priority: 4, flow: 'x', count: 7 })], pace(), 0],
    ['another flow has one turn before it', place, [group({ flow: 'x', count: 1_000 })], pace(), 10],
    [
      'the other flow renders something longer',
      place,
      [group({ flow: 'x', template: 'video', count: 5 })],
      pace(),
      100,
    ],
    [
      'the other flow has less than its turns',
      { ...place, aheadInFlow: 9 },
      [group({ flow: 'x', count: 2 })],
      pace(),
      110,
    ],
  ] as const)('%s', (...[, where, waiting, how, startsInSeconds]) => {
    expect(estimateWait(where, waiting, how)).toEqual({ startsInSeconds, endsInSeconds: startsInSeconds + 10 });
  });

  test('what was never rendered takes as long as the others on average', () => {
    expect(estimateWait({ ...place, template: 'new' }, [], pace())?.endsInSeconds).toBe(55);
  });

  test.each([pace({ slots: 0 }), pace({ secondsByTemplate: new Map() })])(
    '%# while nothing is known nothing is said',
    (how) => {
      expect(estimateWait(place, [group({})], how)).toBeNull();
    },
  );

  test('more before it never makes it start earlier, more GPUs never later', () => {
    const waiting = fc.array(
      fc.record({
        priority: fc.integer({ min: 1, max: 5 }),
        flow: fc.constantFrom('me', 'x', 'y'),
        template: fc.constantFrom('card', 'video', 'new'),
        count: fc.integer({ min: 1, max: 50 }),
      }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(waiting, fc.nat(20), fc.integer({ min: 1, max: 8 }), (groups, aheadInFlow, slots) => {
        const startOf = (ahead: number, gpus: number) =>
          estimateWait({ ...place, aheadInFlow: ahead }, groups, pace({ slots: gpus }))?.startsInSeconds ?? -1;
        expect(startOf(aheadInFlow + 1, slots)).toBeGreaterThanOrEqual(startOf(aheadInFlow, slots));
        expect(startOf(aheadInFlow, slots + 1)).toBeLessThanOrEqual(startOf(aheadInFlow, slots));
      }),
    );
  });
});
