import type { FalWordedKind } from '../../workflows/domain/fal-failure.js';
import type { FailureKind } from '../../workflows/domain/failure.js';
import type { RecoveryTexts } from '../../workflows/domain/recovery-texts.js';

/** What a recovery did, in the words of the older interface. */
export const STRATEGIES = [
  'free_memory',
  'free_all',
  'split_batch',
  'tiled_decode',
  'reduce_params',
  'switch_model',
  'other_backend',
  'clean_up',
  'resubmit',
  'wait_and_resubmit',
  'resume',
  'take_over',
  'rediscover',
  'retry',
  'download_again',
  'render_again',
  'fal',
] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** What an end user reads, who knows nothing of GPUs; the caller's program shows it as it is. */
export interface Messages {
  /** What went wrong and what to try, for every kind. */
  readonly failures: Readonly<Record<FailureKind, string>>;
  /** The same where fal.ai alone has caused it. */
  readonly failuresOnFal: Readonly<Record<FalWordedKind, string>>;
  /** What was done about a failure. */
  readonly attempts: RecoveryTexts;
  /** An attempt that followed a rule of the operators. */
  readonly byRule: (facts: { readonly text: string; readonly rule: string }) => string;
  readonly strategies: Readonly<Record<Strategy, string>>;
  /** R5.10: one line of `recovery_history`. */
  readonly recovered: (facts: { readonly done: string; readonly from: string }) => string;
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
