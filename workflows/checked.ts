import { CancellationScope, isCancellation, log, patched } from '@temporalio/workflow';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { observingOptions } from './activity-options.js';
import type { BackendClaim } from './contracts/activities.js';
import type { FailureKind } from './domain/failure.js';
import { isOutOfTime, isScheduleToStartTimeout } from './failure-record.js';
import { outOfTime } from './total-deadline.js';
import { absenceLimits } from './worker-timings.js';

/**
 * An activity that ends in spite of a cancel answers with its value or with its own failure; the cancel counts all the
 * same. (The prompt that we interrupt ourselves looks to the activity that watches it as if somebody else had.)
 */
export function checked<T>(activity: Promise<T>): Promise<T> {
  return activity.then(
    (result) => {
      throwIfCancelled();
      return result;
    },
    (error: unknown) => {
      throwIfCancelled();
      throw error;
    },
  );
}

function throwIfCancelled(): void {
  if (CancellationScope.current().consideredCancelled) throw new CancelledFailure('Cancelled while an activity ran');
}

/**
 * Runs an activity on a backend's own queue. When no worker takes it in time, the Workflow of the backend says whether a
 * worker holds the backend. If so, the activity is scheduled again, and nothing is counted. If not, the generation needs a
 * new claim. The schedule-to-close timeout is the rest of the total limit: a timer would cost two more events in every
 * history.
 */
export async function onBackend<T>(claim: BackendClaim, call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await checked(call());
    } catch (error) {
      if (isOutOfTime(error) && !hasOnlyNotStarted(error)) throw outOfTime();
      if (!isScheduleToStartTimeout(error)) throw error;
      if (await isHeld(claim)) continue;
      const type: FailureKind = 'NETWORK_ERROR';
      const message = `The worker of backend ${claim.backendId} is gone`;
      throw ApplicationFailure.create({ type, message, nonRetryable: true, details: [workerIsGone(claim)] });
    }
  }
}

/** Temporal 1.32 gives a schedule-to-start timeout the retry state of a passed deadline. Server 1.29 does not. */
function hasOnlyNotStarted(error: unknown): boolean {
  return isScheduleToStartTimeout(error) && patched('schedule-to-start-is-no-deadline');
}

/** Facts of this failure: by them a recovery knows that the prompt may go on rendering. */
function workerIsGone({ backendId }: BackendClaim) {
  return { backendId, isWorkerGone: true } as const;
}

/** When Temporal does not say, the worker counts as alive: claiming anew may render a second time. */
async function isHeld({ backendId }: BackendClaim): Promise<boolean> {
  try {
    const limits = absenceLimits();
    return (await checked(observingOptions(limits).observeBackend({ backendId, limits }))).isHeld;
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('Could not see whether a worker holds the backend', { backendId, error });
    return true;
  }
}
