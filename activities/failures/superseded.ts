import { ApplicationFailure } from '@temporalio/common';
import { ALREADY_ENDED } from '../../workflows/contracts/generation.js';
import type { FailureKind } from '../../workflows/domain/failure.js';

/** This run was left behind: the generation has ended, or a later submission is under way. Nothing it does counts. */
export function superseded(message: string): ApplicationFailure {
  return ApplicationFailure.create({ type: ALREADY_ENDED, message, nonRetryable: true });
}

/**
 * The claim that this run goes by is no longer the one that counts. A run that is still alive (it was reset to an older
 * claim) claims again, under the next number; one that was left behind is heard by nobody.
 */
export function claimedAnew(message: string): ApplicationFailure {
  const type: FailureKind = 'PROMPT_LOST';
  return ApplicationFailure.create({ type, message, nonRetryable: true });
}
