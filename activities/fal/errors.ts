import type { FalInputFault } from '../../workflows/domain/classify-fal-error.js';
import { reasonOf } from '../comfyui/errors.js';
import type { TransferFault } from '../spool/errors.js';

/** Everything that can go wrong between an activity and fal.ai. None of these leaves the activity, none holds the key. */
export abstract class FalError extends Error {}

/** R1.5: what is missing, and what to do about it. */
export const NO_FAL_KEY =
  'no fal.ai key is set. Get one at https://fal.ai/dashboard/keys and set FAL_KEY for the control worker';

/** No key is set: nothing was asked. */
export class NoFalKeyError extends FalError {
  override readonly name = 'NoFalKeyError';

  constructor() {
    super(NO_FAL_KEY);
  }
}

/** fal does not accept the key, or its account may not use this model. */
export class FalKeyRefusedError extends FalError {
  override readonly name = 'FalKeyRefusedError';
  readonly status: number;

  constructor(status: number, detail: string) {
    super(
      `fal.ai refused the key in FAL_KEY with ${status}: ${detail}. Check it, and the balance of its account, at ` +
        'https://fal.ai/dashboard/keys',
    );
    this.status = status;
  }
}

/** The exchange broke: the question may be asked again, unless it was a submission. */
export class FalUnreachableError extends FalError {
  override readonly name = 'FalUnreachableError';
  /** False when no connection came about: fal has seen nothing. */
  readonly mayHaveArrived: boolean;

  constructor(host: string, options: { readonly cause: unknown; readonly mayHaveArrived: boolean }) {
    super(`fal.ai at ${host} did not answer: ${reasonOf(options.cause)}`, { cause: options.cause });
    this.mayHaveArrived = options.mayHaveArrived;
  }
}

/** A status that is no answer to the question. */
export class FalHttpError extends FalError {
  override readonly name = 'FalHttpError';
  readonly status: number;
  readonly path: string;
  readonly retryAfterMs: number | null;

  constructor(
    path: string,
    answer: { readonly status: number; readonly detail: string; readonly retryAfterMs: number | null },
  ) {
    super(`fal.ai answered ${answer.status} to ${path}: ${answer.detail}`);
    this.path = path;
    this.status = answer.status;
    this.retryAfterMs = answer.retryAfterMs;
  }

  /** Asking the same again later may help: too many requests, or trouble on their side. */
  get isPassing(): boolean {
    return this.status === 429 || this.status >= 500;
  }
}

/** The answer is not what fal's queue answers: a proxy, a login page, another program. */
export class NotFalError extends FalError {
  override readonly name = 'NotFalError';
}

/** No model on fal can have this id: the template is wrong. */
export class FalModelIdError extends FalError {
  override readonly name = 'FalModelIdError';

  constructor(modelId: string) {
    super(`"${modelId.slice(0, 100)}" is no id of a model on fal.ai, such as fal-ai/flux/dev`);
  }
}

/** Whether fal took the request is not known, and it must not be posted again: it would be paid for twice. */
export class FalSubmissionUnknownError extends FalError {
  override readonly name = 'FalSubmissionUnknownError';

  constructor(modelId: string, options?: { readonly cause: Error }) {
    const why = options === undefined ? 'the worker that posted it ended before the answer' : options.cause.message;
    super(
      `It is not known whether fal.ai took the request for ${modelId} (${why}). It is not posted again, because it ` +
        'might be paid for twice; see https://fal.ai/dashboard/requests',
      options,
    );
  }
}

/** The model refused its input (422); it will refuse it again. */
export class FalInputRefusedError extends FalError {
  override readonly name = 'FalInputRefusedError';
  readonly faults: readonly FalInputFault[];

  constructor(faults: readonly FalInputFault[], detail: string) {
    const list = faults.map(({ field, message, type }) => `${field === '' ? 'input' : field}: ${message} (${type})`);
    super(`The model on fal.ai refused the input: ${list.length === 0 ? detail : list.join('; ')}`);
    this.faults = faults;
  }
}

/** The request ended with an error that is not about its input. */
export class FalRequestFailedError extends FalError {
  override readonly name = 'FalRequestFailedError';
  /** fal's machine-readable word, `null` when it gives none. */
  readonly errorType: string | null;

  constructor(requestId: string, facts: { readonly errorType: string | null; readonly detail: string }) {
    const type = facts.errorType === null ? '' : ` (${facts.errorType})`;
    super(`Request ${requestId} failed on fal.ai: ${facts.detail}${type}`);
    this.errorType = facts.errorType;
  }
}

/** fal does not know the request. */
export class FalRequestGoneError extends FalError {
  override readonly name = 'FalRequestGoneError';

  constructor(requestId: string) {
    super(`fal.ai does not know request ${requestId}`);
  }
}

/** It took longer than it may. */
export class FalTimeoutError extends FalError {
  override readonly name = 'FalTimeoutError';
}

/** The request succeeded without a file to deliver. */
export class FalNoFileError extends FalError {
  override readonly name = 'FalNoFileError';

  constructor(fields: readonly string[]) {
    super(`The model on fal.ai delivered no file; its answer has the fields ${fields.join(', ')}`);
  }
}

/** A file that is not fetched, because its address is none of fal's. */
export class FalFileRefusedError extends FalError {
  override readonly name = 'FalFileRefusedError';
}

/** A file did not arrive whole, or not at all. */
export class FalDownloadError extends FalError {
  override readonly name = 'FalDownloadError';
  /** What the file is called when that happens again and again; `null`: the other side could not be asked. */
  readonly fault: TransferFault | null;

  constructor(
    message: string,
    { fault, ...options }: { readonly fault: TransferFault | null; readonly cause?: unknown },
  ) {
    super(message, options);
    this.fault = fault;
  }
}
