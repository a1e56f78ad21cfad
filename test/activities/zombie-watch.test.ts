import { expect, test } from '@jest/globals';
import { ZombieBackendError } from '../../activities/comfyui/errors.js';
import { ZombieWatch } from '../../activities/comfyui/zombie-watch.js';

/** What ran at each look, ten seconds apart; answers the look at which it was given up. */
function givenUpAt(running: readonly number[], stallSeconds = 180): number | null {
  const watch = new ZombieWatch(stallSeconds, 0);
  for (const [look, count] of running.entries()) {
    const nowMs = (look + 1) * 10_000;
    expect(watch.isDue(nowMs - 1_000)).toBe(false);
    expect(watch.isDue(nowMs)).toBe(true);
    try {
      watch.observed(count, nowMs);
    } catch (error) {
      expect(error).toBeInstanceOf(ZombieBackendError);
      return look;
    }
  }
  return null;
}

test('a ComfyUI that runs nothing for a minute while prompts wait is a zombie', () => {
  expect(givenUpAt([1, 0, 0, 0, 0, 0, 0, 0])).toBe(7);
});

test('one that runs anything in between is not', () => {
  expect(givenUpAt([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])).toBeNull();
});

test('nothing is asked before a sixth of the limit, and the limit of a stall counts where it is shorter', () => {
  const watch = new ZombieWatch(6, 0);
  expect(watch.isDue(900)).toBe(false);
  watch.observed(0, 1_000);
  watch.observed(0, 6_000);
  expect(() => {
    watch.observed(0, 7_000);
  }).toThrow(/run nothing for 6 s/);
});
