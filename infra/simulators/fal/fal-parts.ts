import type { Journal } from '../comfyui/journal.js';
import type { FalFaults } from './faults.js';
import type { FalJournalEvent } from './journal.js';
import type { RequestStore } from './request-store.js';
import type { Runners } from './runners.js';

/** What the calls work on. */
export interface FalParts {
  readonly key: string;
  readonly store: RequestStore;
  readonly faults: FalFaults;
  readonly journal: Journal<FalJournalEvent>;
  readonly runners: Runners;
}
