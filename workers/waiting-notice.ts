import type { Logger } from '../infra/runtime/logger.js';

const AGAIN_MS = 10_000;

/** Says in the log what a process waits for: at once, and every 10 s for as long as it waits. */
export class WaitingNotice {
  readonly #logger: Logger;
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  say(fields: Readonly<Record<string, unknown>>, message: string): void {
    if (performance.now() - this.#saidAt < AGAIN_MS) return;
    this.#saidAt = performance.now();
    this.#logger.warn(fields, message);
  }
}
