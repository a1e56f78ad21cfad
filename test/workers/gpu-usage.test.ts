import { expect, test } from '@jest/globals';
import { GpuUsage } from '../../workers/gpu-usage.js';

/** A clock that is set by hand, in seconds. */
function usageWithClock() {
  let nowMs = 0;
  const usage = new GpuUsage(() => nowMs);
  return {
    usage,
    at: (seconds: number) => {
      nowMs = seconds * 1_000;
      return usage;
    },
  };
}

test('R4.8 busy is the time in which ComfyUI has prompts, also of others, up to now', () => {
  const { at } = usageWithClock();
  at(0).noteQueue(0);
  at(10).noteQueue(1);
  at(12).noteQueue(2);
  at(15).noteQueue(1);
  expect(at(17).figures().busySeconds).toBe(7);
  at(20).noteQueue(0);
  expect(at(99).figures()).toEqual({ busySeconds: 10, idleWhileWaitingSeconds: 0 });
});

test('R4.8 idle while work waited begins when both are true, and is counted when the generation is submitted', () => {
  const { at, usage } = usageWithClock();
  at(0).noteQueue(0);
  usage.claimed('late', 7_000); // it came when the GPU had been idle for long
  at(8).noteQueue(1);
  at(8.5).submitted('late', true);
  expect(usage.figures().idleWhileWaitingSeconds).toBe(1);
  at(20).noteQueue(0);
  usage.claimed('early', 3_000); // it had waited while the GPU rendered
  at(20.5).submitted('early', true); // before ComfyUI told of it
  at(20.6).noteQueue(1);
  expect(at(30).figures().idleWhileWaitingSeconds).toBe(1.5);
});

test('what is prefetched, refused, unknown or unwanted is not lost time', () => {
  const { at, usage } = usageWithClock();
  at(0).noteQueue(0);
  at(1).noteQueue(1); // somebody else's
  usage.claimed('prefetched', 2_000);
  at(3).submitted('prefetched', true);
  at(4).noteQueue(0);
  usage.claimed('refused', 1_000);
  at(5).submitted('refused', false);
  at(6).noteQueue(null); // it went away
  at(60).noteQueue(0);
  at(90).noteOpened(); // it had been drained
  usage.claimed('after the drain', 61_000);
  at(90.5).noteQueue(1);
  usage.submitted('after the drain', true);
  expect(at(91).figures()).toEqual({ busySeconds: 3.5, idleWhileWaitingSeconds: 0.5 });
});
