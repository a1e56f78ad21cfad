import type { Catalogue } from './catalogue.js';
import type { Faults } from './faults/faults.js';
import type { FileStore } from './file-store.js';
import type { InterruptFlag } from './interrupt-flag.js';
import type { Journal } from './journal.js';
import type { ObjectInfo } from './object-info.js';
import type { SimulatorOptions } from './options.js';
import type { PromptHistory } from './prompt-history.js';
import type { PromptQueue } from './prompt-queue.js';
import type { PromptWorker } from './prompt-worker.js';
import type { Vram } from './vram.js';

/** What routes work with. */
export interface ServerParts {
  readonly options: SimulatorOptions;
  readonly classes: ObjectInfo;
  readonly catalogue: Catalogue;
  readonly faults: Faults;
  readonly files: FileStore;
  readonly history: PromptHistory;
  readonly interrupt: InterruptFlag;
  readonly journal: Journal;
  readonly queue: PromptQueue;
  readonly vram: Vram;
  readonly worker: PromptWorker;
}
