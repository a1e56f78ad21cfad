import pLimit from 'p-limit';
import { inTime } from './in-time.js';

/** Most of a crash test is waiting for timeouts of Temporal, so several run at once. */
const LANES = 5;
/** One that hangs must not hide how the others ended. */
const CASE_WITHIN_MS = 300_000;

/** Runs every case, a few at a time, and answers what each ended with: an error is an outcome, too. */
export async function inLanes<C, R>(cases: readonly C[], run: (each: C) => Promise<R>): Promise<Map<C, R | Error>> {
  const limit = pLimit(LANES);
  const outcomes = cases.map(async (each) =>
    limit(async (): Promise<[C, R | Error]> => {
      try {
        return [each, await inTime(run(each), CASE_WITHIN_MS, () => 'The case has not ended')];
      } catch (error) {
        return [each, error instanceof Error ? error : new Error(String(error))];
      }
    }),
  );
  return new Map(await Promise.all(outcomes));
}
