import { cancellationSignal } from '@temporalio/activity';
import { isGrpcServiceError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { isDatabaseUnavailable } from '../../infra/postgres/database-unavailable.js';
import { classifyExecutionError, classifyRejection } from '../../workflows/domain/classify-execution-error.js';
import type { FailureKind } from '../../workflows/domain/failure.js';
import { describeFailure } from '../../workflows/domain/failure.js';
import {
  BackendCrashedError,
  ComfyUIHttpError,
  ComfyUIUnreachableError,
  DownloadError,
  ExecutionFailedError,
  GraphRefusedError,
  InputRefusedError,
  NoComfyUIError,
  NoOutputError,
  NotComfyUIError,
  PromptInterruptedError,
  PromptLostError,
  PromptRejectedError,
  RenderingTimeoutError,
  ZombieBackendError,
} from '../comfyui/errors.js';
import type { NodeFault } from '../comfyui/errors.js';
import { InputMissingError } from '../comfyui/input-files.js';
import { classifyFalFailure } from '../fal/classify-fal-failure.js';
import { FalError } from '../fal/errors.js';
import { FaceNotFoundError, OutputInvalidError } from '../media/errors.js';
import { OutputTooLargeError } from '../spool/errors.js';
import { ObjectStoreError, refusalOf } from '../storage/errors.js';
import { byRule as toldByRule } from '../../workflows/domain/recovery-texts.js';
import type { RecoveryRule } from '../../workflows/domain/recovery-rule.js';
import { ruleFor } from './operator-rules.js';
import type { OperatorRule } from './operator-rules.js';

/** Facts that a failure carries for machines; small, and without what a user typed beyond the value that was refused. */
type Facts = Readonly<Record<string, unknown>>;

interface Classified {
  readonly kind: FailureKind;
  readonly facts: Facts;
  /** The activity must not run again, although its kind would allow it. */
  readonly isFinal?: boolean;
  /** The other side said when to come back. */
  readonly retryAfterMs?: number | null;
}

/** Longest text of a failure: a message may carry a whole tensor, and a history takes 2 MB at once. */
const MAX_MESSAGE_CHARS = 2_000;
const MAX_VALUE_CHARS = 200;
const MAX_FAULTS = 20;

/**
 * The one door from client errors to Temporal failures. Cancellation and failures that are typed already walk through.
 * What is unexpected ends the activity, and the Workflow tries once more; `retryUnexpected` is for what must happen.
 */
export function toApplicationFailure(
  error: unknown,
  options: {
    readonly retryUnexpected?: boolean;
    readonly facts?: Facts;
    readonly rules?: readonly OperatorRule[];
  } = {},
): unknown {
  if (error instanceof CancelledFailure || error instanceof ApplicationFailure) return error;
  // A wait or a stream that the cancellation broke off says AbortError; what happened is the cancellation.
  const signal = cancellationSignal();
  if (signal.aborted) return signal.reason;
  const rule = ruleFor(options.rules ?? [], error);
  const { kind, facts, isFinal = false, retryAfterMs = null } = byRule(rule, classify(error));
  const said = (error instanceof Error ? error.message : String(error)).slice(0, MAX_MESSAGE_CHARS);
  const message = rule === null ? said : toldByRule(said, rule.name);
  const endsHere = kind === 'UNEXPECTED' && options.retryUnexpected !== true;
  return ApplicationFailure.create({
    type: kind,
    nonRetryable: isFinal || endsHere || !describeFailure(kind).isRetryableInPlace,
    message,
    details: [{ ...facts, ...options.facts }],
    ...(retryAfterMs !== null && { nextRetryDelay: retryAfterMs }),
    // The cause repeats the message; its stack is what it adds.
    ...(error instanceof Error && error.message.length <= MAX_MESSAGE_CHARS && { cause: error }),
  });
}

/** The operators' word counts; what was seen stays among the facts. */
function byRule(rule: RecoveryRule | null, classified: Classified): Classified {
  if (rule === null) return classified;
  return { kind: rule.kind, facts: { ...classified.facts, rule }, isFinal: true };
}

function classify(error: unknown): Classified {
  if (error instanceof FalError) return classifyFalFailure(error);
  if (error instanceof ExecutionFailedError)
    return { kind: classifyExecutionError(error), facts: executionFacts(error), isFinal: true };
  if (error instanceof PromptRejectedError)
    return {
      kind: classifyRejection(error.faults),
      facts: { faults: error.faults.slice(0, MAX_FAULTS).map(shortened) },
      isFinal: true,
    };
  if (error instanceof ComfyUIHttpError)
    return { kind: httpKind(error), facts: { status: error.status, path: error.path } };
  if (error instanceof NoComfyUIError) return { kind: 'NETWORK_ERROR', facts: { addresses: error.addresses } };
  if (error instanceof ObjectStoreError)
    return { kind: storageKind(error), facts: { key: error.key, code: error.code } };
  if (error instanceof OutputInvalidError) return { kind: 'OUTPUT_INVALID', facts: { verdicts: error.verdicts } };
  if (error instanceof RenderingTimeoutError) return { kind: 'TIMEOUT', facts: { limit: error.limit } };
  if (error instanceof ZombieBackendError) return { kind: 'BACKEND_CRASHED', facts: { isZombie: true } };
  return { kind: kindByClass(error), facts: {} };
}

function kindByClass(error: unknown): FailureKind {
  if (error instanceof ComfyUIUnreachableError || error instanceof NotComfyUIError) return 'NETWORK_ERROR';
  if (error instanceof DownloadError) return 'NETWORK_ERROR';
  if (error instanceof OutputTooLargeError) return 'OUTPUT_TOO_LARGE';
  if (error instanceof NoOutputError || error instanceof GraphRefusedError) return 'WORKFLOW_ERROR';
  if (error instanceof PromptLostError) return 'PROMPT_LOST';
  if (error instanceof PromptInterruptedError) return 'INTERRUPTED';
  if (error instanceof BackendCrashedError) return 'BACKEND_CRASHED';
  if (error instanceof InputMissingError) return 'BAD_INPUT';
  if (error instanceof FaceNotFoundError) return 'NO_FACE';
  if (error instanceof InputRefusedError) return 'DISK_FULL';
  if (isErrno(error, 'ENOSPC')) return 'DISK_FULL'; // the spool
  if (isDatabaseUnavailable(error) || isGrpcServiceError(error)) return 'NETWORK_ERROR';
  return 'UNEXPECTED';
}

function shortened(fault: NodeFault): NodeFault {
  const { receivedValue } = fault;
  const isShort = receivedValue === undefined || JSON.stringify(receivedValue).length <= MAX_VALUE_CHARS;
  return isShort
    ? fault
    : { ...fault, details: fault.details.slice(0, MAX_VALUE_CHARS), receivedValue: '(too long to repeat)' };
}

function executionFacts(error: ExecutionFailedError): Facts {
  const { nodeId, nodeType, exceptionType, lastTracebackLine } = error;
  return { nodeId, nodeType, exceptionType, lastTracebackLine: lastTracebackLine.slice(0, MAX_VALUE_CHARS) };
}

/** What a proxy says when it wants a login or has had enough. */
const OF_A_PROXY = [401, 403, 407, 408, 429];

/** R5.5. A 500 may be a bug in what we sent, so it is not taken for a passing fault. */
function httpKind({ status, isOfGateway }: ComfyUIHttpError): FailureKind {
  if (status === 413) return 'INPUT_TOO_LARGE';
  if (isOfGateway || OF_A_PROXY.includes(status)) return 'NETWORK_ERROR';
  return 'UNEXPECTED';
}

function storageKind(error: ObjectStoreError): FailureKind {
  switch (refusalOf(error)) {
    case 'full':
      return 'DISK_FULL';
    case 'too_large':
      return 'OUTPUT_TOO_LARGE';
    case null:
      return 'NETWORK_ERROR';
  }
}

function isErrno(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code;
}
