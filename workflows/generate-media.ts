import { CancellationScope, isCancellation, setHandler, sleep } from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/common';
import { recordingOptions } from './activity-options.js';
import type { BackendClaim, FailureRecord, RecordOutcomeInput } from './contracts/activities.js';
import type { GenerationInput, GenerationResult, StoredOutput } from './contracts/generation.js';
import { ALREADY_ENDED, isStarted, progressQuery, startedSignal } from './contracts/generation.js';
import { noBackendSignal } from './contracts/fal.js';
import { claimBackend, claimFirstBackend, explainedWait, returnToBackend } from './claim-backend.js';
import { collectOutputs, outputsOfPrompt } from './collect-outputs.js';
import { mayStillRender } from './domain/failure.js';
import type { Recovery } from './domain/recoveries.js';
import { failureRecordOf, isAlreadyEnded, isSuperseded } from './failure-record.js';
import { fallBack, renderOnFalOnly } from './fall-back.js';
import { GenerationRun } from './generation-run.js';
import { publishStatus } from './generation-story.js';
import { inheritCheckpoint, resumptionOf } from './inherit-checkpoint.js';
import { nextPart, prepareRecovery } from './recover.js';
import { freeGpu, renderPrompt } from './render-prompt.js';
import { withinTotalDeadline } from './total-deadline.js';

/**
 * One generation, from the wait for a GPU to the recorded outcome. Closes as Completed, as Failed with the failure kind
 * as its type, or as Canceled; whatever the end, it is in the database first.
 */
export async function generateMedia(input: GenerationInput): Promise<GenerationResult> {
  const run = new GenerationRun(input);
  setHandler(progressQuery, () => run.progress);
  setHandler(startedSignal, (started: unknown) => {
    // Operators can send it, too, with whatever contents; an error here would fail the Workflow Task for ever.
    if (isStarted(started) && started.promptId === run.progress.promptId) run.noteProcessing(started.startedAtMs);
  });
  setHandler(noBackendSignal, () => {
    run.noBackend.note();
  });
  try {
    return await generate(run);
  } catch (error) {
    const reason = await recordUnfinished(run, error);
    throw isCancellation(reason) ? reason : toWorkflowFailure(reason);
  }
}

async function generate(run: GenerationRun): Promise<GenerationResult> {
  if (run.falChoice?.provider === 'fal') return recordCompleted(run, await renderOnFalOnly(run));
  await inheritCheckpoint(run);
  for (;;) {
    try {
      return await generateOnComfyUI(run);
    } catch (error) {
      const outputs = await fallBack(run, error);
      if (outputs !== null) return recordCompleted(run, outputs);
    }
  }
}

/** Renders until there are stored and recorded outputs of the whole batch, or until nothing is left to try. */
async function generateOnComfyUI(run: GenerationRun): Promise<GenerationResult> {
  let claim = await nextClaim(run);
  for (;;) {
    try {
      // The total deadline ends with the rendering: an outage of the store never fails a finished picture.
      const rendered = await renderPrompt(run, claim);
      const stored = [...run.stored, ...(await collectOutputs(run, outputsOfPrompt(claim, rendered)))];
      const next = await nextPart(run);
      if (next === null) return await recordCompleted(run, stored);
      run.notePartStored(stored, next);
      claim = await nextClaim(run);
    } catch (error) {
      if (isSuperseded(error) && run.followsLaterSubmission()) {
        claim = await claimAgain(run, claim, { error, place: 'any', pauseSeconds: 0 });
        continue;
      }
      const prepared = await prepareRecovery(run, claim, error);
      if (prepared === null) {
        await freeIfOccupied(claim, error);
        throw error;
      }
      run.noteRecovery(prepared);
      claim = await claimAgain(run, claim, { error, ...prepared.recovery });
    }
  }
}

async function nextClaim(run: GenerationRun): Promise<BackendClaim> {
  if (run.progress.submission === 0) return claimFirstBackend(run);
  return withinTotalDeadline(run.leftMs(), () => claimBackend(run));
}

/** The claim after a recovery. When none comes, the prompt of the last one must not go on rendering for nobody. */
async function claimAgain(
  run: GenerationRun,
  ...[last, { error, place, pauseSeconds }]: [
    BackendClaim,
    { readonly error: unknown } & Pick<Recovery, 'place' | 'pauseSeconds'>,
  ]
): Promise<BackendClaim> {
  try {
    return await withinTotalDeadline(run.leftMs(), async () => {
      if (pauseSeconds > 0) await sleep(pauseSeconds * 1_000);
      return place === 'same' ? returnToBackend(run, last) : claimBackend(run);
    });
  } catch (claimError) {
    await freeIfOccupied(last, error);
    throw await explainedWait(run, claimError, error);
  }
}

/** A generation that is given up must not go on rendering; a cancel has freed its GPU already. */
async function freeIfOccupied(claim: BackendClaim, error: unknown): Promise<void> {
  if (isCancellation(error) || !mayStillRender(failureRecordOf(error).kind)) return;
  await CancellationScope.nonCancellable(() => freeGpu(claim));
}

/** From here on nothing is cancellable: the picture is stored, and an outage of the database is waited out. */
async function recordCompleted(run: GenerationRun, outputs: readonly StoredOutput[]): Promise<GenerationResult> {
  const { generationId } = run.input;
  await CancellationScope.nonCancellable(() => end(run, { status: 'COMPLETED', outputs, failure: null }));
  return { generationId, backendId: run.progress.backendId ?? '', submission: run.progress.submission, outputs };
}

/** Answers what the Workflow closes with: the error, or that the generation has ended already. */
async function recordUnfinished(run: GenerationRun, error: unknown): Promise<unknown> {
  if (isAlreadyEnded(error)) return error; // what is recorded stands
  try {
    await CancellationScope.nonCancellable(() => end(run, unfinishedOutcome(run, error)));
    return error;
  } catch (refusal) {
    return refusal;
  }
}

function unfinishedOutcome(run: GenerationRun, error: unknown): Outcome {
  if (isCancellation(error)) return { status: 'CANCELLED', outputs: [], failure: null };
  const failure = failureRecordOf(error);
  const resumption = resumptionOf(run, failure.kind);
  const status = failure.kind === 'TIMEOUT' ? 'TIMEOUT' : 'FAILED';
  return { status, outputs: [], failure, ...(resumption !== null && { resumption }) };
}

type Outcome = Pick<RecordOutcomeInput, 'status' | 'outputs' | 'resumption'> & {
  readonly failure: FailureRecord | null;
};

async function end(run: GenerationRun, outcome: Outcome): Promise<void> {
  run.advance({ phase: 'recording' });
  await run.recorded();
  const { recordOutcome } = recordingOptions(`Record ${outcome.status}`);
  const { generationId } = run.input;
  const { submission } = run.progress;
  const { renderedAtMs } = run;
  await recordOutcome({
    ...{ generationId, submission, ...outcome, changed: run.changed },
    ...(run.isOnFal && { provider: 'fal' as const }),
    ...(renderedAtMs !== null && { renderedAtMs }),
  });
  run.advance({ status: outcome.status, phase: 'ended' });
  publishStatus(run.progress, outcome.failure?.kind ?? null);
}

function toWorkflowFailure(error: unknown): ApplicationFailure {
  const { kind, detail, facts } = failureRecordOf(error);
  const type = isAlreadyEnded(error) ? ALREADY_ENDED : kind;
  return ApplicationFailure.create({ type, message: detail, details: [facts], nonRetryable: true });
}
