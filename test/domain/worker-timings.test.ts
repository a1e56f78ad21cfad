import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  DEFAULT_TIMINGS,
  absenceLimitsOf,
  beatPausesOf,
  suspectPauseMs,
  workerTimingsOf,
} from '../../workflows/domain/worker-timings.js';

test('by default nothing has changed: 15 s until a worker is missed, 60 s in its queue, and what follows from them', () => {
  expect(DEFAULT_TIMINGS).toEqual({ heartbeatTimeoutSeconds: 15, scheduleToStartSeconds: 60 });
  expect(absenceLimitsOf(DEFAULT_TIMINGS)).toEqual({ goneAfterMs: 30_000, patienceMs: 15_000 });
  expect(beatPausesOf(15_000)).toEqual({ newsMs: 2_000, quietMs: 4_000 });
  expect(suspectPauseMs(DEFAULT_TIMINGS)).toBe(5_000);
});

test('smaller timings make everything that follows from them smaller', () => {
  const timings = { heartbeatTimeoutSeconds: 3, scheduleToStartSeconds: 5 };
  expect(absenceLimitsOf(timings)).toEqual({ goneAfterMs: 2_500, patienceMs: 3_000 });
  expect(beatPausesOf(3_000)).toEqual({ newsMs: 800, quietMs: 800 });
  expect(suspectPauseMs(timings)).toBe(1_000);
});

test('whatever the timings, two heartbeats may be lost, a pause that loses an attempt is noticed, and no cancel comes later', () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 300 }), (heartbeatTimeoutSeconds) => {
      const timeoutMs = heartbeatTimeoutSeconds * 1_000;
      const { newsMs, quietMs } = beatPausesOf(timeoutMs);
      expect(3 * quietMs).toBeLessThan(timeoutMs);
      expect(newsMs).toBeLessThanOrEqual(quietMs);
      expect(quietMs).toBeLessThanOrEqual(4_000);
      expect(suspectPauseMs({ ...DEFAULT_TIMINGS, heartbeatTimeoutSeconds })).toBeLessThan(timeoutMs);
    }),
  );
});

test('a dead worker has been gone for long enough when a task has waited for its whole time', () => {
  const seconds = fc.integer({ min: 5, max: 3_600 });
  fc.assert(
    fc.property(seconds, seconds, (heartbeatTimeoutSeconds, scheduleToStartSeconds) => {
      const { goneAfterMs } = absenceLimitsOf({ heartbeatTimeoutSeconds, scheduleToStartSeconds });
      expect(goneAfterMs).toBeLessThan(scheduleToStartSeconds * 1_000);
    }),
  );
});

test('a Workflow without timings, or with a memo that is something else, has the defaults', () => {
  for (const memo of [undefined, null, 'fast', {}, { heartbeatTimeoutSeconds: 3 }]) {
    expect(workerTimingsOf(memo)).toEqual(DEFAULT_TIMINGS);
  }
  for (const seconds of [0, -1, '3', Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(workerTimingsOf({ heartbeatTimeoutSeconds: seconds, scheduleToStartSeconds: 5 })).toEqual(DEFAULT_TIMINGS);
    expect(workerTimingsOf({ heartbeatTimeoutSeconds: 3, scheduleToStartSeconds: seconds })).toEqual(DEFAULT_TIMINGS);
  }
  const timings = { heartbeatTimeoutSeconds: 3, scheduleToStartSeconds: 5 };
  expect(workerTimingsOf(timings)).toEqual(timings);
});
