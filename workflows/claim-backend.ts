import { isCancellation, log } from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/common';
import { claimOptions, explainNoCapacity, returnOptions } from './activity-options.js';
import type { BackendClaim, ClaimActivities } from './contracts/activities.js';
import type { FailureKind } from './domain/failure.js';
import { checked } from './checked.js';
import { isClaimTimeout } from './failure-record.js';
import type { GenerationRun } from './generation-run.js';

/** Later claims are ended by the total deadline around them; Temporal wants a limit all the same. */
const LATER_CLAIM_MS = 30 * 24 * 60 * 60_000;

/** Waits for a GPU until the start deadline; then the failure says what every known backend said. */
export async function claimFirstBackend(run: GenerationRun): Promise<BackendClaim> {
  const { pool, acceptedAtMs, limits } = run.input;
  const waitMs = Math.max(1_000, acceptedAtMs + limits.startSeconds * 1_000 - Date.now());
  try {
    return await claim(run, waitMs);
  } catch (error) {
    if (isCancellation(error) || !isClaimTimeout(error)) throw error;
    const explanation = await explanationOf(pool);
    const type: FailureKind = 'NO_CAPACITY';
    const message = `No GPU took the generation within ${limits.startSeconds} s. ${explanation}`;
    throw ApplicationFailure.create({ type, message, nonRetryable: true });
  }
}

/** Claims again after a recovery, on the same backend or on another. */
export async function claimBackend(run: GenerationRun): Promise<BackendClaim> {
  return claim(run, LATER_CLAIM_MS);
}

/** Claims the backend again on which the generation failed and which keeps its place, else any. */
export async function returnToBackend(run: GenerationRun, last: BackendClaim): Promise<BackendClaim> {
  try {
    return await claimBy(run, returnOptions(last));
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.info('The backend does not take the generation back; any may have it', { backendId: last.backendId, error });
    return claimBackend(run);
  }
}

async function claim(run: GenerationRun, waitMs: number): Promise<BackendClaim> {
  const { pool, template } = run.input;
  return claimBy(run, claimOptions(pool, { waitMs, summary: `Wait for a GPU: ${template}` }));
}

async function claimBy(run: GenerationRun, { discoverBackend }: ClaimActivities): Promise<BackendClaim> {
  const { endedSubmissions, progress, input, rendered, avoided } = run;
  const { generationId } = input;
  const claimed = await checked(
    discoverBackend({
      ...{ generationId, endedSubmissions, lastSubmission: progress.submission },
      ...{ graphSha256: rendered.graph.sha256, avoid: avoided },
    }),
  );
  run.noteClaim(claimed);
  return claimed;
}

async function explanationOf(pool: string): Promise<string> {
  try {
    return await explainNoCapacity({ pool });
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('The reports of the backends could not be read', { error });
    return 'What the backends said could not be read: the object store does not answer.';
  }
}
