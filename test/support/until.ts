import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_MS = 50;
/** Hundreds may wait at once: who has waited for long looks less often, and learns of it a twentieth later at most. */
const LATER_SHARE = 1 / 20;
const MAX_LOOK_MS = 500;

/** Waits for a condition, not for time: the first value that is neither null nor undefined nor false. A look may throw: the last error is told. */
export async function until<T>(
  what: string,
  look: () => Promise<T | null | undefined | false>,
  timeoutMs = 20_000,
): Promise<T> {
  const began = performance.now();
  const deadline = began + timeoutMs;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const value = await look();
      if (value !== null && value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await sleep(Math.min(MAX_LOOK_MS, LOOK_MS + (performance.now() - began) * LATER_SHARE));
  }
  const told = last instanceof Error ? `; one look failed: ${last.message}` : '';
  throw new Error(`${what}: not within ${timeoutMs} ms${told}`, { cause: last });
}
