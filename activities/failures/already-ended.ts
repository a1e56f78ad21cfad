import { ApplicationFailure } from '@temporalio/common';
import { ALREADY_ENDED } from '../../workflows/contracts/generation.js';

/** The generation has ended: a run that was reset after that is refused. */
export function alreadyEnded(generationId: string): ApplicationFailure {
  const message = `Generation ${generationId} has ended. Retry it to get a new one`;
  return ApplicationFailure.create({ type: ALREADY_ENDED, message, nonRetryable: true });
}
