import type { Spread } from './quantile.js';
import { spreadOf } from './quantile.js';

/** Calls that ran at the same time: how long each took, and how many ended in a second. */
export interface Timing extends Spread {
  readonly perSecond: number;
}

export interface Lap {
  readonly durationsMs: readonly number[];
  readonly wallMs: number;
}

/** `count` calls, at most `concurrency` at a time; each gets its number. */
export async function timeCalls(
  call: (number: number) => Promise<unknown>,
  { count, concurrency }: { readonly count: number; readonly concurrency: number },
): Promise<Lap> {
  const durationsMs: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const number = next;
      next += 1;
      const startedAt = performance.now();
      await call(number);
      durationsMs.push(performance.now() - startedAt);
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: concurrency }, lane));
  return { durationsMs, wallMs: performance.now() - startedAt };
}

export function timingOf(laps: readonly Lap[]): Timing {
  const durations = laps.flatMap(({ durationsMs }) => durationsMs);
  const wallMs = laps.reduce((sum, lap) => sum + lap.wallMs, 0);
  return { ...spreadOf(durations), perSecond: durations.length / (wallMs / 1_000) };
}
