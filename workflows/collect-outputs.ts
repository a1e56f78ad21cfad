import { isCancellation } from '@temporalio/workflow';
import { besideComfyUI, collectingOptions, uploadOptions } from './activity-options.js';
import type { CollectingPlace } from './activity-options.js';
import { onBackend } from './checked.js';
import type { BackendClaim, CompletedPrompt, OutputReference, ValidOutput } from './contracts/activities.js';
import type { StoredOutput } from './contracts/generation.js';
import { decideRecovery } from './domain/recovery.js';
import { failureRecordOf, mediaFaultsOf } from './failure-record.js';
import type { GenerationRun } from './generation-run.js';

/** What a provider has finished, and where its files are taken from it. */
export interface OutputSource {
  readonly submission: number;
  /** On fal.ai the id of the request. */
  readonly promptId: string;
  readonly outputs: readonly OutputReference[];
  readonly place: CollectingPlace;
  readonly call: <T>(activity: () => Promise<T>) => Promise<T>;
}

export function outputsOfPrompt(claim: BackendClaim, { outputs }: CompletedPrompt): OutputSource {
  const { submission, promptId } = claim;
  return { submission, promptId, outputs, place: besideComfyUI(claim), call: (call) => onBackend(claim, call) };
}

/** Fetches, judges and stores what was made. */
export async function collectOutputs(run: GenerationRun, source: OutputSource): Promise<readonly StoredOutput[]> {
  run.noteRendered();
  const outputs = await fetchValid(run, source);
  const { generationId } = run.input;
  const { submission, promptId, place } = source;
  const { uploadOutputs } = uploadOptions(place, `Store ${countOf(outputs)}`);
  const stored = run.stored.map(({ kind }) => kind);
  return source.call(() => uploadOutputs({ generationId, submission, promptId, outputs, stored }));
}

/** A file that arrived damaged is fetched again before anything is rendered again. */
async function fetchValid(run: GenerationRun, source: OutputSource): Promise<readonly ValidOutput[]> {
  const { generationId } = run.input;
  const { expected } = run.rendered;
  const { submission, promptId, outputs, place } = source;
  const prompt = { generationId, submission, promptId };
  const { downloadOutputs } = collectingOptions(place, `Fetch ${countOf(outputs)}`);
  const { validateOutputs } = collectingOptions(place, `Decode and check ${countOf(outputs)}`);
  for (;;) {
    try {
      const spooled = await source.call(() => downloadOutputs({ ...prompt, outputs }));
      return await source.call(() => validateOutputs({ ...prompt, outputs: spooled, expected }));
    } catch (error) {
      if (isCancellation(error)) throw error;
      const failure = failureRecordOf(error);
      const observed = { kind: failure.kind, mediaFaults: mediaFaultsOf(failure), isAbandoned: false };
      const [recovery] = decideRecovery(observed, run.progress.recoveries, run.policy);
      if (recovery?.action !== 'download_again') throw error;
      run.noteDownloadAgain(failure.kind, recovery);
    }
  }
}

function countOf(outputs: readonly unknown[]): string {
  return outputs.length === 1 ? '1 output' : `${outputs.length} outputs`;
}
