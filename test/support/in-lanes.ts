import pLimit from 'p-limit';

/** Most of a crash test is waiting for timeouts of Temporal, so several run at once. */
const LANES = 5;

/** Runs every case, a few at a time, and answers what each ended with: an error is an outcome, too. */
export async function inLanes<C, R>(cases: readonly C[], run: (each: C) => Promise<R>): Promise<Map<C, R | Error>> {
  const limit = pLimit(LANES);
  const outcomes = cases.map(async (each) =>
    limit(async (): Promise<[C, R | Error]> => {
      try {
        return [each, await run(each)];
      } catch (error) {
        return [each, error instanceof Error ? error : new Error(String(error))];
      }
    }),
  );
  return new Map(await Promise.all(outcomes));
}
