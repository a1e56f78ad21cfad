import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/common';
import type { FailureKind } from './domain/failure.js';

/**
 * Runs `work` in a scope that is cancelled when the time is up; the caller then sees a `TIMEOUT` failure. The Workflow
 * itself has no run or execution timeout, because those skip cleaning up.
 */
export async function withinTotalDeadline<T>(leftMs: number, work: () => Promise<T>): Promise<T> {
  const timer = new CancellationScope();
  const scope = new CancellationScope();
  let isOver = false;
  const ringing = timer
    .run(async () => sleep(leftMs, { summary: 'Total deadline' }))
    .then(
      () => {
        isOver = true;
        scope.cancel();
      },
      () => undefined, // cancelled, because the work is done
    );
  try {
    return await scope.run(work);
  } catch (error) {
    throw isOver && isCancellation(error) ? outOfTime() : error;
  } finally {
    timer.cancel();
    await ringing;
  }
}

/** The failure of a generation whose total limit is used up. */
export function outOfTime(): ApplicationFailure {
  const type: FailureKind = 'TIMEOUT';
  const message = `The generation did not finish within its total limit`;
  return ApplicationFailure.create({ type, message, nonRetryable: true });
}
