import type { FailureKind } from '../../workflows/domain/failure.js';

/** What an end user reads, who knows nothing of GPUs; the caller's program shows it as it is. */
export interface Messages {
  /** What went wrong and what to try, for every kind. */
  readonly failures: Readonly<Record<FailureKind, string>>;
  /** All GPUs are taken. */
  readonly busy: (facts: BusyFacts) => string;
}

export interface BusyFacts {
  readonly busy: number;
  readonly slots: number;
  /** 1 is next. */
  readonly position: number;
  readonly startsInSeconds: number | null;
}

/** From here on a wait is told in minutes. */
export const LONG_WAIT_SECONDS = 90;
