import { activityInfo, getClient } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';

const TICK_MS = 500;
/** What arrived while the process was stopped is worked off by then. */
const SUSPECT_FOR_MS = 30_000;

/** What an attempt may still do whose process was stopped in the middle of it. */
export interface LateAttempt {
  /** Throws when this attempt was given up meanwhile: Temporal has handed its task to somebody else. */
  readonly ensureCurrent: () => Promise<void>;
  /** True when its generation has ended meanwhile, and not with outputs: what it stores belongs to nobody. */
  readonly isForNobody: () => Promise<boolean>;
}

/**
 * Answers checks that ask Temporal what became of the attempt that runs while this process was stopped (SIGSTOP, a machine
 * that slept). The question costs a request, so it is asked only after a timer has shown a gap of more than `pausedMs`.
 * `pausedMs` must be less than the heartbeat timeout, after which Temporal gives up an attempt.
 */
export function createLateAttempt(pausedMs: number): LateAttempt & { readonly close: () => void } {
  let tickedAtMs = Date.now(); // not the monotonic clock, which stands still while a machine sleeps
  let resumedAtMs = Number.NEGATIVE_INFINITY;
  const tick = (): void => {
    const now = Date.now();
    if (now - tickedAtMs > pausedMs) resumedAtMs = now;
    tickedAtMs = now;
  };
  const timer = setInterval(tick, TICK_MS);
  const isSuspect = (): boolean => {
    tick(); // the task may be looked at before the timer
    return Date.now() - resumedAtMs < SUSPECT_FOR_MS;
  };
  return {
    async ensureCurrent() {
      if (isSuspect() && (await isGivenUp())) {
        throw ApplicationFailure.nonRetryable('This attempt was given up while its worker was stopped');
      }
    },
    isForNobody: async () => isSuspect() && (await hasEndedWithoutOutputs()),
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

/** By the latest run: one that was reset is terminated, and goes on in another. */
async function hasEndedWithoutOutputs(): Promise<boolean> {
  const { workflowExecution } = activityInfo();
  if (workflowExecution === undefined) return false;
  const { status } = await getClient().workflow.getHandle(workflowExecution.workflowId).describe();
  return status.name !== 'RUNNING' && status.name !== 'COMPLETED';
}
