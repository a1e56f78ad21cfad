import type { FalConfig } from '../../infra/runtime/fal-config.js';
import type { FalResult } from '../../workflows/contracts/fal.js';
import { downloadFalFile } from './download-fal-file.js';
import type { FalDownload } from './download-fal-file.js';
import type { FalError } from './errors.js';
import {
  FalInputRefusedError,
  FalKeyRefusedError,
  FalRequestFailedError,
  FalRequestGoneError,
  FalSubmissionUnknownError,
  FalUnreachableError,
} from './errors.js';
import { errorTypeFrom, falResultFrom, falStatusFrom, inputFaultsFrom, requestIdFrom } from './fal-answers.js';
import type { FalStatus } from './fal-answers.js';
import type { WrittenFile } from '../spool/spool.js';
import { createFalHttp, httpErrorOf } from './fal-http.js';
import type { FalAnswer } from './fal-http.js';
import { falModelPaths } from './fal-model.js';

/** A request, by what its addresses are made of. */
export interface FalRequestRef {
  readonly modelId: string;
  readonly requestId: string;
}

/**
 * fal's queue, by its own HTTP calls: the official client posts a submission again when its answer is lost or is a 5xx,
 * and fal knows no idempotency key, so that can be paid for twice. Nothing here is ever asked twice. Throws `FalError`.
 */
export interface FalClient {
  /**
   * Posts a request, once; its id. `FalSubmissionUnknownError` when fal may have taken it. It cannot be broken off: what
   * was posted and whose id nobody knows could not be cancelled.
   */
  submit(submission: {
    readonly modelId: string;
    readonly input: unknown;
    readonly startSeconds: number | null;
  }): Promise<string>;
  status(request: FalRequestRef, signal?: AbortSignal): Promise<FalStatus>;
  /** Of a completed request; `FalInputRefusedError` or `FalRequestFailedError` when it failed. */
  result(request: FalRequestRef, signal?: AbortSignal): Promise<FalResult>;
  /** `requested` frees its place in the queue at once; a model that runs may or may not hear it. */
  cancel(request: FalRequestRef, signal?: AbortSignal): Promise<'requested' | 'finished' | 'absent'>;
  download(download: FalDownload): Promise<WrittenFile>;
  close(): Promise<void>;
}

/** A picture may be in it. */
const SUBMIT_MS = 120_000;
const STATUS_MS = 15_000;
const RESULT_MS = 60_000;
const CANCEL_MS = 15_000;

/** The client, `null` without a key. */
export function createFalClient({ key, queueUrl }: Pick<FalConfig, 'key' | 'queueUrl'>): FalClient | null {
  if (key === null) return null;
  const http = createFalHttp({ key, queueUrl });
  return {
    async submit({ modelId, input, startSeconds }) {
      const path = falModelPaths(modelId).submit;
      const call = {
        method: 'POST',
        path,
        body: input,
        headers: submitHeaders(startSeconds),
        totalMs: SUBMIT_MS,
      } as const;
      const answer = await http.send({ ...call, signal: undefined }).catch((error: unknown) => {
        throw isCertain(error) ? error : new FalSubmissionUnknownError(modelId, { cause: asError(error) });
      });
      return requestIdOf(modelId, path, answer);
    },
    async status({ modelId, requestId }, signal) {
      const path = `${falModelPaths(modelId).request(requestId)}/status`;
      const answer = await http.send({ method: 'GET', path, query: { logs: '1' }, signal, totalMs: STATUS_MS });
      if (answer.status === 404) throw new FalRequestGoneError(requestId);
      if (!isSuccess(answer)) throw httpErrorOf(path, answer);
      return falStatusFrom(answer.json);
    },
    async result({ modelId, requestId }, signal) {
      const path = falModelPaths(modelId).request(requestId);
      const answer = await http.send({ method: 'GET', path, signal, totalMs: RESULT_MS });
      if (isSuccess(answer)) return falResultFrom(answer.json);
      throw failureOf(requestId, path, answer);
    },
    async cancel({ modelId, requestId }, signal) {
      const path = `${falModelPaths(modelId).request(requestId)}/cancel`;
      const answer = await http.send({ method: 'PUT', path, signal, totalMs: CANCEL_MS });
      if (isSuccess(answer)) return 'requested';
      if (answer.status === 404) return 'absent';
      if (answer.status === 400) return 'finished'; // ALREADY_COMPLETED
      throw httpErrorOf(path, answer);
    },
    download: async (download) => downloadFalFile(http, download),
    close: async () => http.close(),
  };
}

/** Another model than the one that was asked for, and priced, is no answer: fal's own fallback to one is switched off. */
function submitHeaders(startSeconds: number | null): Readonly<Record<string, string>> {
  return {
    'x-fal-disable-fallbacks': 'true',
    ...(startSeconds !== null && { 'x-fal-request-timeout': String(startSeconds) }),
  };
}

/** Nothing arrived, or it was refused for certain. */
function isCertain(error: unknown): boolean {
  if (error instanceof FalKeyRefusedError) return true;
  return error instanceof FalUnreachableError && !error.mayHaveArrived;
}

function requestIdOf(modelId: string, path: string, answer: FalAnswer): string {
  const requestId = isSuccess(answer) ? requestIdFrom(answer.json) : null;
  if (requestId !== null) return requestId;
  if (answer.status === 422) throw new FalInputRefusedError(inputFaultsFrom(answer.json), answer.detail);
  const error = httpErrorOf(path, answer);
  // A gateway answers 5xx also for what the queue behind it has taken; only "come back later" says that it has not.
  const isRefusal = answer.status < 500 || (answer.status === 503 && error.retryAfterMs !== null);
  throw isRefusal && !isSuccess(answer) ? error : new FalSubmissionUnknownError(modelId, { cause: error });
}

/** A failure of the request has fal's words for it; anything else is one of the exchange. */
function failureOf(requestId: string, path: string, answer: FalAnswer): FalError {
  if (answer.status === 404) return new FalRequestGoneError(requestId);
  if (answer.status === 422) return new FalInputRefusedError(inputFaultsFrom(answer.json), answer.detail);
  const errorType = errorTypeFrom(answer.json);
  const [fault] = inputFaultsFrom(answer.json);
  if (errorType !== null) return new FalRequestFailedError(requestId, { errorType, detail: answer.detail });
  if (fault !== undefined)
    return new FalRequestFailedError(requestId, { errorType: fault.type, detail: fault.message });
  return httpErrorOf(path, answer);
}

function isSuccess({ status }: FalAnswer): boolean {
  return status >= 200 && status < 300;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
