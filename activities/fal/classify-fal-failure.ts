import { classifyFalErrorType, classifyFalRefusal } from '../../workflows/domain/classify-fal-error.js';
import type { FailureKind } from '../../workflows/domain/failure.js';
import type { FalError } from './errors.js';
import {
  FalDownloadError,
  FalFileRefusedError,
  FalHttpError,
  FalInputRefusedError,
  FalKeyRefusedError,
  FalModelIdError,
  FalNoFileError,
  FalRequestFailedError,
  FalRequestGoneError,
  FalSubmissionUnknownError,
  FalTimeoutError,
  FalUnreachableError,
  NoFalKeyError,
  NotFalError,
} from './errors.js';

export interface FalClassified {
  readonly kind: FailureKind;
  readonly facts: Readonly<Record<string, unknown>>;
  /** The same activity must not run again, whatever its kind. */
  readonly isFinal?: boolean;
  /** When it may run again, as fal asks. */
  readonly retryAfterMs?: number | null;
}

const PROVIDER = { provider: 'fal' } as const;

/** What an error of fal's means for the generation. */
export function classifyFalFailure(error: FalError): FalClassified {
  if (error instanceof FalInputRefusedError) {
    return { kind: classifyFalRefusal(error.faults), facts: { ...PROVIDER, faults: error.faults }, isFinal: true };
  }
  if (error instanceof FalRequestFailedError) {
    const { errorType } = error; // the request has ended: looking again shows the same
    return { kind: classifyFalErrorType(errorType), facts: { ...PROVIDER, errorType }, isFinal: true };
  }
  if (error instanceof FalHttpError) return httpFailure(error);
  if (error instanceof FalKeyRefusedError) {
    return { kind: 'ENVIRONMENT', facts: { ...PROVIDER, status: error.status, setting: 'FAL_KEY' } };
  }
  if (error instanceof NoFalKeyError) return { kind: 'ENVIRONMENT', facts: { ...PROVIDER, setting: 'FAL_KEY' } };
  if (error instanceof FalSubmissionUnknownError) {
    return { kind: 'NETWORK_ERROR', facts: { ...PROVIDER, submission: 'unknown' }, isFinal: true };
  }
  return { kind: kindByClass(error), facts: PROVIDER };
}

function httpFailure(error: FalHttpError): FalClassified {
  const { status, path, retryAfterMs } = error;
  const facts = { ...PROVIDER, status, path };
  if (error.isPassing) return { kind: 'NETWORK_ERROR', facts, retryAfterMs };
  if (status === 413) return { kind: 'INPUT_TOO_LARGE', facts };
  return { kind: [400, 404, 405].includes(status) ? 'WORKFLOW_ERROR' : 'UNEXPECTED', facts }; // no such model
}

function kindByClass(error: FalError): FailureKind {
  if (error instanceof FalUnreachableError || error instanceof NotFalError) return 'NETWORK_ERROR';
  if (error instanceof FalDownloadError) return 'NETWORK_ERROR';
  if (error instanceof FalFileRefusedError) return 'OUTPUT_INVALID';
  if (error instanceof FalNoFileError || error instanceof FalModelIdError) return 'WORKFLOW_ERROR';
  if (error instanceof FalRequestGoneError) return 'PROMPT_LOST';
  if (error instanceof FalTimeoutError) return 'TIMEOUT';
  return 'UNEXPECTED';
}
