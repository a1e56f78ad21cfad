import type { FailureKind } from './failure.js';

/** One fault of an input, as fal's models report it with status 422. */
export interface FalInputFault {
  /** Where in the input, for example `image_url`; empty for the whole of it. */
  readonly field: string;
  readonly type: string;
  readonly message: string;
}

/** fal's documented types of what is wrong with an input; a type that is not listed is judged by its field. */
const KINDS_BY_TYPE: ReadonlyMap<string, FailureKind> = new Map(
  Object.entries({
    face_detection_error: 'NO_FACE',
    file_too_large: 'INPUT_TOO_LARGE',
    image_too_large: 'INPUT_TOO_LARGE',
    image_too_small: 'BAD_INPUT',
    image_load_error: 'BAD_INPUT',
    file_download_error: 'BAD_INPUT',
    unsupported_image_format: 'BAD_INPUT',
    unsupported_audio_format: 'BAD_INPUT',
    unsupported_video_format: 'BAD_INPUT',
    missing: 'WORKFLOW_ERROR',
  } as const),
);

/** fal's words for a request that failed without its input being at fault. */
const KINDS_BY_ERROR_TYPE: ReadonlyMap<string, FailureKind> = new Map(
  Object.entries({
    request_timeout: 'TIMEOUT',
    startup_timeout: 'TIMEOUT',
    client_cancelled: 'INTERRUPTED',
    bad_request: 'WORKFLOW_ERROR',
    internal_error: 'NETWORK_ERROR',
  } as const),
);

/** The kind of the first fault: fal lists what it found first. */
export function classifyFalRefusal(faults: readonly FalInputFault[]): FailureKind {
  const [first] = faults;
  if (first === undefined) return 'WORKFLOW_ERROR';
  return KINDS_BY_TYPE.get(first.type) ?? (/_urls?$/.test(first.field) ? 'BAD_INPUT' : 'WORKFLOW_ERROR');
}

/** What `error_type` of a failed request means; everything about its runners is trouble on fal's side. */
export function classifyFalErrorType(errorType: string | null): FailureKind {
  if (errorType === null) return 'UNEXPECTED';
  if (/^runner_|^client_disconnected$/.test(errorType)) return 'NETWORK_ERROR';
  return KINDS_BY_ERROR_TYPE.get(errorType) ?? 'UNEXPECTED';
}
