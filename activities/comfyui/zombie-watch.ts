import { ZombieBackendError } from './errors.js';

/** Between two prompts ComfyUI unloads models and collects garbage; that is over long before. */
const LONGEST_PAUSE_SECONDS = 60;
const LOOKS_IN_LIMIT = 6;

/**
 * Tells a ComfyUI whose worker thread has died from one that is busy, for a prompt that waits in its queue: the first runs
 * nothing at all. Times are milliseconds of one monotonic clock.
 */
export class ZombieWatch {
  readonly #limitMs: number;
  #nextLookAtMs: number;
  #idleSinceMs: number | null = null;

  constructor(stallSeconds: number, nowMs: number) {
    this.#limitMs = Math.min(stallSeconds, LONGEST_PAUSE_SECONDS) * 1_000;
    this.#nextLookAtMs = nowMs + this.#limitMs / LOOKS_IN_LIMIT;
  }

  isDue(nowMs: number): boolean {
    return nowMs >= this.#nextLookAtMs;
  }

  /** What runs there now, while the prompt waits. Throws `ZombieBackendError`. */
  observed(running: number, nowMs: number): void {
    this.#nextLookAtMs = nowMs + this.#limitMs / LOOKS_IN_LIMIT;
    this.#idleSinceMs = running > 0 ? null : (this.#idleSinceMs ?? nowMs);
    if (this.#idleSinceMs === null || nowMs - this.#idleSinceMs < this.#limitMs) return;
    throw new ZombieBackendError(this.#limitMs / 1_000);
  }
}
