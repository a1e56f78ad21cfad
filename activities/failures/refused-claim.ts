import { ApplicationFailure } from '@temporalio/common';
import type { FailureKind } from '../../workflows/domain/failure.js';

/** The claim goes back into the queue, for whoever is free; pauses that grow would keep it from a gate that opens. */
export function refusedClaim(message: string): ApplicationFailure {
  const type: FailureKind = 'NETWORK_ERROR';
  return ApplicationFailure.create({ type, message, nextRetryDelay: '1 second' });
}
