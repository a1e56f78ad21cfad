import type { ResourceStack } from '../../infra/runtime/resource-stack.js';

/** `null` where it could not be taken here. */
export type Figure = number | null | Figures;

/** By the name under which they stand in the closing line. */
export interface Figures {
  readonly [name: string]: Figure;
}

export interface BenchRun {
  /** A folder of this run, thrown away at its end. */
  readonly folder: string;
  /** Everything that a section starts; released after it, and when the bench is interrupted. */
  readonly resources: ResourceStack;
  /** Interrupted, or out of time. */
  readonly signal: AbortSignal;
  /** A small form of everything: to see whether it works, not for figures. */
  readonly isQuick: boolean;
}

export interface BenchSection {
  readonly name: string;
  /** A section that takes longer hangs. */
  readonly limitMs: number;
  readonly measure: (run: BenchRun) => Promise<Figures>;
}
