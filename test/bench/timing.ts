import { processorTimeMs } from './processor-time.js';
import type { Spread } from './quantile.js';
import { spreadOf } from './quantile.js';

/** Calls that ran at the same time: how long each took, and how many ended in a second. */
export interface Timing extends Spread {
  readonly perSecond: number;
  /** Processor time of all processes of the bench for one call; `null` where it cannot be read. */
  readonly processorMs: number | null;
}

export interface Lap {
  readonly durationsMs: readonly number[];
  readonly wallMs: number;
  readonly processorMs: number | null;
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
  const usedBefore = processorTimeMs();
  await Promise.all(Array.from({ length: concurrency }, lane));
  const wallMs = performance.now() - startedAt;
  const usedAfter = processorTimeMs();
  return {
    durationsMs,
    wallMs,
    processorMs: usedBefore === null || usedAfter === null ? null : usedAfter - usedBefore,
  };
}

export function timingOf(laps: readonly Lap[]): Timing {
  const durations = laps.flatMap(({ durationsMs }) => durationsMs);
  const wallMs = laps.reduce((sum, lap) => sum + lap.wallMs, 0);
  const processorMs = laps.map((lap) => lap.processorMs).filter((ms) => ms !== null);
  return {
    ...spreadOf(durations),
    perSecond: durations.length / (wallMs / 1_000),
    processorMs: processorMs.length === 0 ? null : processorMs.reduce((sum, ms) => sum + ms, 0) / durations.length,
  };
}
