import {
  CancellationScope,
  allHandlersFinished,
  condition,
  continueAsNew,
  isCancellation,
  log,
  patched,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { ActivityFailure, TimeoutFailure } from '@temporalio/common';
import { gateOptions, tendingOptions } from './activity-options.js';
import { BackendRun } from './backend-run.js';
import {
  acquireUpdate,
  backendStateQuery,
  drainSignal,
  emergencyOverSignal,
  emergencyStopSignal,
  quarantineSignal,
  resumeSignal,
  summarySignal,
} from './contracts/backend.js';
import type { AcquireInput, BackendHolder, BackendInput } from './contracts/backend.js';
import { decideAfterTend } from './domain/backend-holding.js';
import type { TendEnd } from './domain/backend-holding.js';

/** A replay takes longer with every event: far below Temporal's own suggestion at 4,096. */
const LONG_HISTORY = 1_000;
/** A worker that was away for longer starts this Workflow again. One that is drained is remembered for good. */
const FORGOTTEN_AFTER = '7 days';
const PAUSE_AFTER_FAILURE = '1 second';

/**
 * One ComfyUI as operators see it: which process holds its id, how it is, and what its gate is to do. States: no holder
 * (waits for a worker to acquire the id), held (tends the holder and keeps its gate as wanted) until the holder stops,
 * falls silent or is replaced. No generation waits for this Workflow: it may be ended at any moment, and the worker
 * starts it again.
 */
export async function operateBackend(input: BackendInput): Promise<void> {
  const run = new BackendRun(input);
  listen(run);
  while (await isWorthKeeping(run)) {
    if (run.holder !== null) await serve(run, run.holder);
    if (!isHistoryLong()) continue;
    await condition(allHandlersFinished);
    await continueAsNew<typeof operateBackend>(run.next());
  }
}

function listen(run: BackendRun): void {
  setHandler(backendStateQuery, () => run.state);
  setHandler(acquireUpdate, (request) => run.acquire(request), {
    validator: (request: AcquireInput) => {
      run.refuseSecondHolder(request);
    },
  });
  setHandler(drainSignal, () => {
    run.wish({ isDrained: true });
  });
  setHandler(resumeSignal, () => {
    run.wish({ isDrained: false, quarantine: null });
  });
  setHandler(quarantineSignal, (reason) => {
    run.quarantine(typeof reason === 'string' ? reason : null);
  });
  setHandler(emergencyStopSignal, (reason) => {
    run.wish({ emergency: typeof reason === 'string' ? reason : 'by an operator' });
  });
  setHandler(emergencyOverSignal, () => {
    run.wish({ emergency: null });
  });
  setHandler(summarySignal, (summary) => {
    run.noteSummary(summary);
  });
}

async function isWorthKeeping(run: BackendRun): Promise<boolean> {
  const isHeld = (): boolean => run.holder !== null || isHistoryLong();
  if (run.isGateOpen) return condition(isHeld, FORGOTTEN_AFTER);
  await condition(isHeld);
  return true;
}

function isHistoryLong(): boolean {
  const { historyLength, continueAsNewSuggested } = workflowInfo();
  return historyLength >= LONG_HISTORY || continueAsNewSuggested;
}

/** Until the holder is gone, another one takes its place, or the history is long. */
async function serve(run: BackendRun, holder: BackendHolder): Promise<void> {
  const { term } = run;
  await new CancellationScope().run(async () => {
    const parts = [
      tendUntilGone(run, holder),
      keepGate(run, holder),
      condition(() => run.term !== term || isHistoryLong()),
    ];
    try {
      await Promise.race(parts);
    } finally {
      CancellationScope.current().cancel();
      await Promise.allSettled(parts);
    }
  });
}

async function tendUntilGone(run: BackendRun, holder: BackendHolder): Promise<void> {
  const { term } = run;
  let failures = 0;
  for (;;) {
    const end = await tendOnce(run, holder);
    failures = end === 'failed' ? failures + 1 : 0;
    const next = decideAfterTend(end, failures);
    if (next === 'free') {
      run.free(term);
      return;
    }
    if (next === 'again_later') await sleep(PAUSE_AFTER_FAILURE);
  }
}

async function tendOnce({ backendId }: BackendRun, holder: BackendHolder): Promise<TendEnd> {
  const { tendBackend } = tendingOptions(backendId, holder);
  try {
    const { end } = await tendBackend({ backendId, holderId: holder.holderId });
    return end;
  } catch (error) {
    if (isCancellation(error)) throw error;
    if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) return 'silent';
    log.warn('Tending the backend failed', { error });
    return 'failed';
  }
}

/** Passes on what is wanted of the gate, one change at a time. */
async function keepGate(run: BackendRun, holder: BackendHolder): Promise<never> {
  // Histories of before asked for a gate only when its position changed; one of them may be replayed.
  const tellsWhy = patched('gate-is-told-why');
  for (;;) {
    await condition(() => run.isGateDue || (tellsWhy && run.areHoldsDue));
    const { gatePosition: position, holds } = run;
    const { setGate } = gateOptions(run.backendId, `Gate: ${position}`);
    try {
      run.noteGate(await setGate({ holderId: holder.holderId, position, holds }), holds);
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('The gate was not set', { error });
      await sleep(PAUSE_AFTER_FAILURE);
    }
  }
}
