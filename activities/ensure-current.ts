import { activityInfo, getClient } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';

const TICK_MS = 500;
/** Far more than an event loop is ever late by, and less than any timeout by which Temporal gives an attempt up. */
const PAUSED_MS = 5_000;
/** What arrived while the process was stopped is worked off by then. */
const SUSPECT_FOR_MS = 30_000;

/**
 * Answers a check that throws when the attempt that runs was given up while this process was stopped (SIGSTOP, a machine
 * that slept): Temporal has handed the task to somebody else by then, and what it does would come late. The question
 * costs a request, so it is asked only after a timer has shown such a gap.
 */
export function createEnsureCurrent(): { readonly ensureCurrent: () => Promise<void>; readonly close: () => void } {
  let tickedAtMs = Date.now(); // not the monotonic clock, which stands still while a machine sleeps
  let resumedAtMs = Number.NEGATIVE_INFINITY;
  const tick = (): void => {
    const now = Date.now();
    if (now - tickedAtMs > PAUSED_MS) resumedAtMs = now;
    tickedAtMs = now;
  };
  const timer = setInterval(tick, TICK_MS);
  return {
    async ensureCurrent() {
      tick(); // the task may be looked at before the timer
      if (Date.now() - resumedAtMs < SUSPECT_FOR_MS && (await isGivenUp())) {
        throw ApplicationFailure.nonRetryable('This attempt was given up while its worker was stopped');
      }
    },
    close: () => {
      clearInterval(timer);
    },
  };
}

/** By the run that scheduled it: after a reset the latest run has an activity of the same number. */
async function isGivenUp(): Promise<boolean> {
  const { workflowExecution, activityId, attempt } = activityInfo();
  if (workflowExecution === undefined) return false;
  const { workflowId, runId } = workflowExecution;
  const { raw } = await getClient().workflow.getHandle(workflowId, runId).describe();
  const pending = raw.pendingActivities ?? [];
  return !pending.some((activity) => activity.activityId === activityId && activity.attempt === attempt);
}
