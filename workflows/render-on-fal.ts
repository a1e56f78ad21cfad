import { ApplicationFailure } from '@temporalio/common';
import { ON_CONTROL_WORKER, fallingBackOptions, falWaitingOptions } from './activity-options.js';
import { checked } from './checked.js';
import { collectOutputs } from './collect-outputs.js';
import type { OutputReference } from './contracts/activities.js';
import type { FalFile, FalObstacle, FalRequest } from './contracts/fal.js';
import type { StoredOutput } from './contracts/generation.js';
import { limitsOn } from './domain/deadlines.js';
import type { FailureKind } from './domain/failure.js';
import type { GenerationRun } from './generation-run.js';

/** There is one number: a request that fal.ai may have taken is never posted again, not even after a reset. */
const SUBMISSION = 1;

/** Why fal.ai cannot take the request now, `null` when its price is set aside. */
export async function reserveOnFal(run: GenerationRun, { modelId, usd }: FalRequest): Promise<FalObstacle | null> {
  const { generationId } = run.input;
  const { obstacle, isPassing = false } = await checked(
    fallingBackOptions(modelId).reserveFal({ generationId, modelId, usd }),
  );
  return obstacle === null ? null : { reason: obstacle, isPassing };
}

/** The whole request on fal.ai, up to stored outputs. A cancel is passed on by the activities. */
export async function renderOnFal(run: GenerationRun, request: FalRequest): Promise<readonly StoredOutput[]> {
  const { generationId, limits } = run.input;
  const { modelId, input } = request;
  const { submitToFal } = fallingBackOptions(modelId);
  const { startSeconds } = limits;
  const submitted = await checked(submitToFal({ generationId, submission: SUBMISSION, modelId, input, startSeconds }));
  run.noteFalSubmission(submitted, request);
  const { totalSeconds } = limitsOn('gpu', limits);
  const { files } = await checked(
    falWaitingOptions(totalSeconds).awaitFal({ ...submitted, generationId, totalSeconds }),
  );
  refuseFlagged(files);
  return collectOutputs(run, {
    submission: run.progress.submission,
    promptId: submitted.requestId,
    outputs: files.map(referenceTo),
    place: ON_CONTROL_WORKER,
    call: (call) => checked(call()),
  });
}

/** Such a picture is delivered black: it is not what was asked for. */
function refuseFlagged(files: readonly FalFile[]): void {
  const flagged = files.flatMap(({ isFlagged }, index) => (isFlagged === true ? [index] : []));
  if (flagged.length === 0) return;
  const type: FailureKind = 'OUTPUT_INVALID';
  const message = `The safety checker of fal.ai has blackened picture ${flagged.join(', ')}`;
  throw ApplicationFailure.create({ type, message, nonRetryable: true });
}

function referenceTo({ url, contentType }: FalFile): OutputReference {
  const kind = contentType?.startsWith('video/') === true ? 'video' : 'image';
  return { nodeId: 'fal', kind, file: null, textIndex: 0, url };
}
