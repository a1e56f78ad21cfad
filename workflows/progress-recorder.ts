import { log } from '@temporalio/workflow';
import { recordProgress } from './activity-options.js';
import type { RecordProgressInput } from './contracts/activities.js';

/** Writes down what was noted, one after the other and beside the next step: an outage of the database delays the story, never the rendering. */
export class ProgressRecorder {
  #recorded = Promise.resolve();

  record(input: RecordProgressInput): void {
    this.#recorded = this.#recorded
      .then(() => recordProgress(input))
      .catch((error: unknown) => {
        log.warn('Progress was not recorded; the outcome will be', { error });
      });
  }

  /** Resolves when nothing that was noted is still being written: the outcome must be the last word. */
  recorded(): Promise<void> {
    return this.#recorded;
  }
}
