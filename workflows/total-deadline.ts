import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/common';
import type { FailureKind } from './domain/failure.js';

/**
 * Runs `work` in a scope that is cancelled when the time is up; the caller then sees a `TIMEOUT` failure. The Workflow
 * itself has no run or execution timeout, because those skip cleaning up.
 */
export async function withinTotalDeadline<T>(totalSeconds: number, work: () => Promise<T>): Promise<T> {
  const timer = new CancellationScope();
  const scope = new CancellationScope();
  let isOver = false;
  const ringing = timer
    .run(async () => sleep(Math.round(totalSeconds * 1_000), { summary: 'Total deadline' }))
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
    if (!isOver || !isCancellation(error)) throw error;
    const type: FailureKind = 'TIMEOUT';
    const message = `The generation did not finish within its total limit`;
    throw ApplicationFailure.create({ type, message, nonRetryable: true });
  } finally {
    timer.cancel();
    await ringing;
  }
}
