import { ApplicationFailure } from '@temporalio/common';
import { SUPERSEDED } from '../../workflows/contracts/generation.js';

/** A later submission is under way: nothing that this one does counts. A claim tells where that one is, or that it ended. */
export function superseded(message: string): ApplicationFailure {
  return ApplicationFailure.create({ type: SUPERSEDED, message, nonRetryable: true });
}
