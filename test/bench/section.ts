import type { ResourceStack } from '../../infra/runtime/resource-stack.js';

/** Figures by the name under which they stand in the closing line; `null` where one could not be taken here. */
export type Figures = Readonly<Record<string, number | null>>;

export interface BenchRun {
  /** A folder of this run, thrown away at its end. */
  readonly folder: string;
  /** Everything that a section starts; released after it, and when the bench is interrupted. */
  readonly resources: ResourceStack;
  /** Interrupted, or out of time. */
  readonly signal: AbortSignal;
}

export interface BenchSection {
  readonly name: string;
  readonly measure: (run: BenchRun) => Promise<Figures>;
}
