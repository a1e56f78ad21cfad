import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedError } from './embedded-error.js';

const ASK_EVERY_MS = 50;

/** Asks until it is answered. What is not an EmbeddedError means "not yet". */
export async function untilAnswers(ask: () => Promise<void>, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      await ask();
      return;
    } catch (error) {
      if (error instanceof EmbeddedError) throw error;
      await delay(ASK_EVERY_MS, undefined, { signal });
    }
  }
}
