import { ApplicationFailure } from '@temporalio/common';
import { ALREADY_ENDED } from '../../workflows/contracts/generation.js';

/** This run was left behind: the generation has ended, or a later submission is under way. Nothing it does counts. */
export function superseded(message: string): ApplicationFailure {
  return ApplicationFailure.create({ type: ALREADY_ENDED, message, nonRetryable: true });
}
