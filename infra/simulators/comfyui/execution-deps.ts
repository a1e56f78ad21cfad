import type { Faults } from './faults/faults.js';
import type { FileStore } from './file-store.js';
import type { InterruptFlag } from './interrupt-flag.js';
import type { Journal } from './journal.js';
import type { CachedNode, NodeCache } from './node-cache.js';
import type { ObjectInfo } from './object-info.js';
import type { ProgressHub } from './progress-hub.js';
import type { ProgressState } from './progress-state.js';
import type { PromptItem } from './prompt-item.js';
import type { ServerVersion } from './server-versions.js';

/** The parts of a server that running a prompt touches. */
export interface ExecutionDeps {
  readonly classes: ObjectInfo;
  readonly cache: NodeCache;
  readonly faults: Faults;
  readonly files: FileStore;
  readonly hub: ProgressHub;
  readonly interrupt: InterruptFlag;
  readonly journal: Journal;
  readonly secondsPerStep: number;
  readonly version: ServerVersion;
}

/** What one prompt's run carries from node to node. */
export interface NodeExecution {
  readonly item: PromptItem;
  readonly keys: ReadonlyMap<string, string | null>;
  readonly ui: Map<string, NonNullable<CachedNode['ui']>>;
  readonly results: Map<string, CachedNode>;
  readonly executed: string[];
  readonly progress: ProgressState;
}
