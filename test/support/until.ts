import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_MS = 50;

/** Waits for a condition, not for time: the first value that is neither null nor undefined nor false. */
export async function until<T>(
  what: string,
  look: () => Promise<T | null | undefined | false>,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown = null;
  while (performance.now() < deadline) {
    try {
      const value = await look();
      if (value !== null && value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await sleep(LOOK_MS);
  }
  throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: last });
}
