import { isCancellation } from '@temporalio/workflow';
import { collectingOptions, uploadOptions } from './activity-options.js';
import { onBackend } from './checked.js';
import type { BackendClaim, CompletedPrompt, ValidOutput } from './contracts/activities.js';
import type { StoredOutput } from './contracts/generation.js';
import { decideRecovery } from './domain/recovery.js';
import { failureRecordOf, mediaFaultsOf } from './failure-record.js';
import type { GenerationRun } from './generation-run.js';

/** Fetches, judges and stores what a finished prompt made. */
export async function collectOutputs(
  run: GenerationRun,
  ...[claim, completed]: [BackendClaim, CompletedPrompt]
): Promise<readonly StoredOutput[]> {
  run.advance({ phase: 'collecting' });
  const outputs = await fetchValid(run, claim, completed);
  const { generationId } = run.input;
  const { submission, promptId } = claim;
  const { uploadOutputs } = uploadOptions(claim, `Store ${countOf(outputs)}`);
  const stored = run.stored.map(({ kind }) => kind);
  return onBackend(claim, async () => uploadOutputs({ generationId, submission, promptId, outputs, stored }));
}

/** A file that arrived damaged is fetched again before anything is rendered again. */
async function fetchValid(
  run: GenerationRun,
  ...[claim, completed]: [BackendClaim, CompletedPrompt]
): Promise<readonly ValidOutput[]> {
  const { generationId } = run.input;
  const { expected } = run.rendered;
  const prompt = { generationId, submission: claim.submission, promptId: claim.promptId };
  const { downloadOutputs } = collectingOptions(claim, `Fetch ${countOf(completed.outputs)}`);
  const { validateOutputs } = collectingOptions(claim, `Decode and check ${countOf(completed.outputs)}`);
  for (;;) {
    try {
      const spooled = await onBackend(claim, async () => downloadOutputs({ ...prompt, outputs: completed.outputs }));
      return await onBackend(claim, async () => validateOutputs({ ...prompt, outputs: spooled, expected }));
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
