import type { QueueDemand } from '../workflows/contracts/fleet-demand.js';

/** Then it is looked at again, whatever is said of it. */
const DRY_MS = 5_000;
/** A poll of a queue that has work is answered within some tens of milliseconds. */
const EMPTY_AFTER_MS = 400;

interface DryQueue {
  readonly waiting: number;
  readonly oldestAcceptedAtMs: number;
  readonly untilMs: number;
}

type Said = Pick<QueueDemand, 'taskQueue' | 'waiting' | 'oldestAcceptedAtMs'>;

/**
 * Queues of which it is said that something waits there, and whose poll brought nothing: it was claimed and has not begun
 * to render, it waits before its next try, or this backend is the one that it avoids.
 */
export class DryQueues {
  readonly #queues = new Map<string, DryQueue>();
  /** Of the queue that is polled, and since when. */
  #said: (Said & { readonly sinceMs: number }) | null = null;

  /** What is said of the queue that is polled, by a poll that has brought nothing for so long. */
  polled({ taskQueue, waiting, oldestAcceptedAtMs }: Said, idleMs: number): void {
    const now = performance.now();
    const isSame =
      this.#said?.taskQueue === taskQueue &&
      this.#said.waiting === waiting &&
      this.#said.oldestAcceptedAtMs === oldestAcceptedAtMs;
    if (!isSame) this.#said = { taskQueue, waiting, oldestAcceptedAtMs, sinceMs: now };
    if (Math.min(idleMs, now - (this.#said?.sinceMs ?? now)) < EMPTY_AFTER_MS) return;
    this.#queues.set(taskQueue, { waiting, oldestAcceptedAtMs, untilMs: now + DRY_MS });
  }

  /** True until something else is said of it, or some seconds have passed. */
  has({ taskQueue, waiting, oldestAcceptedAtMs }: Said): boolean {
    const dry = this.#queues.get(taskQueue);
    if (dry === undefined) return false;
    const isStill = performance.now() < dry.untilMs && waiting <= dry.waiting;
    if (isStill && oldestAcceptedAtMs === dry.oldestAcceptedAtMs) return true;
    this.#queues.delete(taskQueue);
    return false;
  }
}
