import { types } from 'node:util';
import type { TransferFault } from '../spool/errors.js';

/** Everything that can go wrong between an activity and a ComfyUI. None of these leaves the activity: see `toApplicationFailure`. */
export abstract class ComfyUIError extends Error {}

/** Whether a server is known to have seen the request. */
export type Reachability =
  /** Nothing listens, or the connection broke: the process may be gone. */
  | 'refused'
  /** Silence until the limit: the process may be busy (its event loop blocks while a model loads). */
  | 'silent';

/** The connection or the HTTP exchange broke: the server may or may not have acted on the request. */
export class ComfyUIUnreachableError extends ComfyUIError {
  override readonly name = 'ComfyUIUnreachableError';
  readonly address: string;
  readonly reachability: Reachability;

  constructor(address: string, reachability: Reachability, options: { readonly cause: unknown }) {
    super(`ComfyUI at ${address} did not answer: ${reasonOf(options.cause)}`, options);
    this.address = address;
    this.reachability = reachability;
  }
}

/** No candidate address answers as a usable ComfyUI; names each and what it said (R2.2). */
export class NoComfyUIError extends ComfyUIError {
  override readonly name = 'NoComfyUIError';
  readonly addresses: readonly AddressAnswer[];

  constructor(addresses: readonly AddressAnswer[]) {
    super(`No ComfyUI answers. Tried ${addresses.map(({ address, said }) => `${address} (${said})`).join(', ')}`);
    this.addresses = addresses;
  }
}

export interface AddressAnswer {
  readonly address: string;
  readonly said: string;
}

/** An HTTP status that is no answer to the question. A 500 may be a client bug, so it proves no transient fault. */
export class ComfyUIHttpError extends ComfyUIError {
  override readonly name = 'ComfyUIHttpError';
  readonly status: number;
  readonly path: string;

  constructor(path: string, status: number, text: string) {
    super(`ComfyUI answered ${status} to ${path}: ${text.trim().slice(0, 300)}`);
    this.path = path;
    this.status = status;
  }

  /** A proxy says so, of a ComfyUI that it does not reach. */
  get isOfGateway(): boolean {
    return this.status >= 502;
  }
}

/** ComfyUI could not write an input file: it answers a bare 500, as a rule because its disk is full. */
export class InputRefusedError extends ComfyUIError {
  override readonly name = 'InputRefusedError';

  constructor(filename: string, text: string) {
    super(`ComfyUI could not store the input ${filename}, its disk may be full: ${text.trim().slice(0, 300)}`);
  }
}

/** The address answers, but not as a ComfyUI does: a login page, a proxy, another program. */
export class NotComfyUIError extends ComfyUIError {
  override readonly name = 'NotComfyUIError';
}

/** One fault of one node, as `POST /prompt` reports it. */
export interface NodeFault {
  readonly nodeId: string;
  readonly nodeType: string;
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly inputName: string | null;
  readonly receivedValue: unknown;
  /** What the graph calls the node. */
  readonly title?: string | null;
  /** At most five allowed values that look most like the one received. */
  readonly closest?: readonly string[];
}

/** `error` of a refusal. */
export interface Rejection {
  readonly type: string;
  readonly message: string;
  readonly details: string;
}

/** ComfyUI validated the graph and said no; it will say no again. */
export class PromptRejectedError extends ComfyUIError {
  override readonly name = 'PromptRejectedError';
  readonly said: Rejection;
  readonly faults: readonly NodeFault[];

  constructor(said: Rejection, faults: readonly NodeFault[]) {
    const list = faults.map(inWords);
    super(
      [`ComfyUI refused the graph: ${said.message}`, said.details, ...list].filter((part) => part !== '').join('; '),
    );
    this.said = said;
    this.faults = faults;
  }

  get type(): string {
    return this.said.type;
  }
}

/** This service refuses to hand the graph to ComfyUI; the caller broke its rules. */
export class GraphRefusedError extends ComfyUIError {
  override readonly name = 'GraphRefusedError';

  constructor(breaches: readonly string[]) {
    super(`The graph was not submitted: ${breaches.join('; ')}`);
  }
}

/** Lists of hundreds of allowed values push everything else out of the message. */
const MAX_DETAIL_CHARACTERS = 300;

function inWords({ nodeId, nodeType, title, message, details, closest = [] }: NodeFault): string {
  const name = title === undefined || title === null || title === nodeType ? '' : ` "${title}"`;
  const hint = closest.length === 0 ? '' : `; the closest are ${closest.join(', ')}`;
  return `node ${nodeId}${name} (${nodeType}): ${message}: ${details.slice(0, MAX_DETAIL_CHARACTERS)}${hint}`;
}

/** A node raised an exception. */
export class ExecutionFailedError extends ComfyUIError {
  override readonly name = 'ExecutionFailedError';
  readonly nodeId: string;
  readonly nodeType: string;
  /** `module.QualName`, builtins bare. */
  readonly exceptionType: string;
  readonly exceptionMessage: string;
  /** The last line of the traceback, which may name the cause when the message does not. */
  readonly lastTracebackLine: string;

  constructor(facts: {
    readonly nodeId: string;
    readonly nodeType: string;
    readonly exceptionType: string;
    readonly exceptionMessage: string;
    readonly lastTracebackLine: string;
  }) {
    const what = facts.exceptionMessage === '' ? facts.exceptionType : facts.exceptionMessage;
    super(`Node ${facts.nodeId} (${facts.nodeType}) failed: ${what}`);
    this.nodeId = facts.nodeId;
    this.nodeType = facts.nodeType;
    this.exceptionType = facts.exceptionType;
    this.exceptionMessage = facts.exceptionMessage;
    this.lastTracebackLine = facts.lastTracebackLine;
  }
}

/** `execution_interrupted` that nobody here asked for. */
export class PromptInterruptedError extends ComfyUIError {
  override readonly name = 'PromptInterruptedError';

  constructor(promptId: string) {
    super(`Prompt ${promptId} was interrupted on ComfyUI, not by us`);
  }
}

/** In neither queue nor history after every look of R2.5, while the server kept answering. */
export class PromptLostError extends ComfyUIError {
  override readonly name = 'PromptLostError';

  constructor(promptId: string) {
    super(`Prompt ${promptId} is neither in the queue nor in the history of ComfyUI`);
  }
}

/** The server was gone while it had the prompt, or came back without it. */
export class BackendCrashedError extends ComfyUIError {
  override readonly name = 'BackendCrashedError';
}

/** ComfyUI answers, and runs nothing of what waits in its queue: its one worker thread has died. */
export class ZombieBackendError extends ComfyUIError {
  override readonly name = 'ZombieBackendError';

  constructor(seconds: number) {
    super(`ComfyUI has run nothing for ${seconds} s although prompts wait in its queue: it must be restarted`);
  }
}

/** Rendering took longer than it may, or moved no step. */
export class RenderingTimeoutError extends ComfyUIError {
  override readonly name = 'RenderingTimeoutError';
  /** Which of its limits a rendering has passed. */
  readonly limit: 'render' | 'stall';

  constructor(limit: 'render' | 'stall', message: string) {
    super(message);
    this.limit = limit;
  }
}

/** The prompt finished and left nothing to deliver; the same graph will do so again. */
export class NoOutputError extends ComfyUIError {
  override readonly name = 'NoOutputError';

  /** `blocked`: what a node said that let nothing through; `hasReported`: a node has reported something, such as a preview. */
  constructor({ blocked, hasReported }: { readonly blocked: string | null; readonly hasReported: boolean }) {
    super(
      hasReported
        ? 'The graph has no node that saves a file: previews are not kept. End it with a save node such as SaveImage'
        : `ComfyUI ended the prompt without an error and without a file, because a node let nothing through. ${blocked ?? 'It did not say which; the log of ComfyUI may'}`,
    );
  }
}

/** A file did not arrive whole, although ComfyUI began to send it. */
export class DownloadError extends ComfyUIError {
  override readonly name = 'DownloadError';
  readonly fault: TransferFault = 'transfer_failed';
}

/** What a person reads: the innermost message, because "fetch failed" tells nobody anything. */
export function reasonOf(error: unknown): string {
  // Node's own network errors are no `instanceof Error` where code runs in a context of its own.
  if (!(error instanceof Error) && !types.isNativeError(error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'ECONNRESET' || code === 'UND_ERR_SOCKET') return 'connection reset';
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'no connection within the limit';
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT' || error.name === 'TimeoutError') {
    return 'no answer within the limit';
  }
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error.cause === undefined ? error.message : reasonOf(error.cause);
}
