import type { AdaptedGraph } from './contracts/activities.js';
import type { LastPrompt, RenderedSoFar } from './contracts/checkpoint.js';
import type { StoredOutput } from './contracts/generation.js';
import type { FailureKind } from './domain/failure.js';
import type { Recovery } from './domain/recoveries.js';

/** A recovery that is possible, and whose preparations are done. */
export interface PreparedRecovery {
  readonly kind: FailureKind;
  readonly recovery: Recovery;
  readonly adapted: AdaptedGraph | null;
  readonly rendered: RenderedSoFar | null;
  /** The rule of the operators that it follows. */
  readonly rule: string | null;
  readonly wasRunning: boolean;
  /** Where it would fail for the same reason. */
  readonly unsuitable: readonly string[];
}

/** What a run begins with that repeats another generation. */
export interface Inherited {
  readonly stored: readonly StoredOutput[];
  readonly next: AdaptedGraph | null;
  readonly prompt: LastPrompt | null;
}
