import { withDeadline } from '../with-deadline.js';

/** Answers the latest reading, `null` when there is none that is recent enough. Never fails. */
export type FreshReading<T> = () => Promise<T | null>;

/** A scrape waits this long for one that is being made, and does without it after that. */
const WAIT_MS = 2_000;
/** What is older describes another moment. */
const GOOD_FOR_MS = 30_000;

/** Reads at most every `everyMs`, one at a time, however many ask: what a scrape costs does not grow with the scrapes. */
export function createFreshReading<T>(options: {
  readonly everyMs: number;
  readonly read: () => Promise<T>;
  readonly onError: (error: unknown) => void;
}): FreshReading<T> {
  const { everyMs, read, onError } = options;
  let latest: { readonly value: T; readonly atMs: number } | null = null;
  let startedAtMs = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | null = null;
  const begin = async (): Promise<void> => {
    startedAtMs = performance.now();
    try {
      latest = { value: await read(), atMs: performance.now() };
    } catch (error) {
      latest = null;
      onError(error);
    } finally {
      reading = null;
    }
  };
  return async function freshReading() {
    if (reading === null && performance.now() - startedAtMs >= everyMs) reading = begin();
    if (reading !== null) await withDeadline(WAIT_MS, reading).catch(() => undefined); // late: the next scrape has it
    return latest !== null && performance.now() - latest.atMs < GOOD_FOR_MS ? latest.value : null;
  };
}
