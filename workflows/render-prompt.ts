import { CancellationScope, isCancellation, log } from '@temporalio/workflow';
import { stoppingOptions, submissionOptions, waitingOptions } from './activity-options.js';
import { onBackend } from './checked.js';
import type { BackendClaim, CompletedPrompt, SubmittedPrompt } from './contracts/activities.js';
import { limitsOn } from './domain/deadlines.js';
import type { GenerationRun } from './generation-run.js';

/** Hands the graph to ComfyUI and watches it to its end. Leaves nothing behind on the GPU when it is cancelled. */
export async function renderPrompt(run: GenerationRun, claim: BackendClaim): Promise<CompletedPrompt> {
  const gpu = new GpuOccupation(claim);
  try {
    const submitted = await submit(run, claim);
    run.noteCorrections(submitted.corrections ?? []);
    if (submitted.state === 'running') run.noteProcessing(Date.now());
    if (submitted.state === 'pending') run.advance({ phase: 'pending' });
    gpu.freeWhenCancelled();
    const completed = await watch(run, claim, submitted);
    run.noteProcessing(completed.startedAtMs ?? Date.now()); // it may have been too quick to be seen rendering
    return completed;
  } catch (error) {
    // A submission that was cancelled may have queued its prompt at the last moment, so it is looked for only now that
    // the submission has ended.
    if (isCancellation(error)) gpu.free();
    throw error;
  } finally {
    const freeing = gpu.over();
    if (freeing !== null) await freeing;
  }
}

/** Frees the GPU of a generation whose prompt may still render and is not waited for any more; false when it does not stop. */
export async function freeGpu(claim: BackendClaim): Promise<boolean> {
  const gpu = new GpuOccupation(claim);
  gpu.free();
  return (await gpu.over()) ?? true;
}

function submit(run: GenerationRun, claim: BackendClaim): Promise<SubmittedPrompt> {
  const { generationId, graphRules } = run.input;
  const { graph } = run.rendered;
  const { submission, promptId, decision } = claim;
  const summary = decision === 'adopt' ? `Take up prompt ${submission} again` : `Submit prompt ${submission}`;
  return onBackend(claim, () => {
    const { submitPrompt } = submissionOptions(claim, { leftMs: run.leftMs(), summary });
    return submitPrompt({ generationId, submission, promptId, graph, ...(graphRules !== undefined && { graphRules }) });
  });
}

function watch(run: GenerationRun, claim: BackendClaim, submitted: SubmittedPrompt): Promise<CompletedPrompt> {
  const { generationId, limits } = run.input;
  const { renderSeconds, stallSeconds } = limitsOn(claim.device, limits);
  const summary = `Rendering on ${claim.backendId}`;
  return onBackend(claim, () => {
    const { awaitCompletion } = waitingOptions(claim, { leftMs: run.leftMs(), summary });
    return awaitCompletion({
      generationId,
      promptId: claim.promptId,
      nodeCount: submitted.nodeCount,
      signalsStart: run.progress.status !== 'PROCESSING',
      renderSeconds,
      stallSeconds,
      backendReturnSeconds: limits.backendReturnSeconds,
    });
  });
}

/**
 * The GPU that a prompt may occupy. On a cancel it is freed at once and beside the activity that watches, so that the
 * interrupt goes out within two seconds whatever the heartbeats do.
 */
class GpuOccupation {
  readonly #claim: BackendClaim;
  #freeing: Promise<boolean> | null = null;
  #isOver = false;

  constructor(claim: BackendClaim) {
    this.#claim = claim;
  }

  freeWhenCancelled(): void {
    CancellationScope.current().cancelRequested.catch(() => {
      this.free();
    });
  }

  free(): void {
    if (this.#isOver) return; // the scope lives on, and is cancelled later for other reasons
    this.#freeing ??= CancellationScope.nonCancellable(() => this.#stop());
  }

  /** The prompt is no longer ours to stop. What is being stopped resolves when the GPU is free, or cannot be reached. */
  over(): Promise<boolean> | null {
    this.#isOver = true;
    return this.#freeing;
  }

  async #stop(): Promise<boolean> {
    const { promptId, backendId } = this.#claim;
    try {
      await stoppingOptions(this.#claim).stopPrompt({ promptId });
      return true;
    } catch (error) {
      log.warn('The GPU could not be freed in time; its worker clears up when it is back', { backendId, error });
      return false;
    }
  }
}
