import type { FailureKind } from './failure.js';
import { REDUCE_PARAMS, SWITCH_MODEL } from './recoveries.js';
import type { RecoveryPolicy } from './recovery-policy.js';

/** A recovery of this generation that was tried before. */
export interface PastRecovery {
  readonly kind: FailureKind;
  readonly strategy: string;
  /** The rule of the operators that it followed. */
  readonly rule?: string;
  /** Absent in the notes of earlier versions, which did not tell. */
  readonly wasRunning?: boolean;
  /** fal.ai took none of it: what waits for a backend goes on waiting. */
  readonly isRefused?: true;
}

/** The caller gets something else than what was asked for. */
export function changesWhatWasAsked({ strategy }: Pick<PastRecovery, 'strategy'>): boolean {
  return strategy === REDUCE_PARAMS.strategy || strategy === SWITCH_MODEL.strategy;
}

/** One more recovery may change what was asked for. */
export function mayChange(past: readonly PastRecovery[], policy: RecoveryPolicy): boolean {
  return !policy.isStrict && past.filter(changesWhatWasAsked).length < policy.maxAttempts;
}
