/** What goes to the model on fal.ai, as a JSON document in the object store: a picture may be in it, and is in no history. */
export interface FalInputReference {
  readonly key: string;
  readonly sha256: string;
}

export interface SubmitToFalInput {
  readonly generationId: string;
  /** One number is posted once, whatever becomes of its attempts: to pay twice takes another number. */
  readonly submission: number;
  /** `owner/app` or `owner/app/path`, for example `fal-ai/flux/dev`. */
  readonly modelId: string;
  readonly input: FalInputReference;
  /** How long fal may let the request wait for a runner; `null`: without end. */
  readonly startSeconds: number | null;
}

/** The request as fal knows it. */
export interface FalSubmission {
  readonly modelId: string;
  readonly requestId: string;
  /** Milliseconds since the epoch: when it was posted. */
  readonly submittedAtMs: number;
}

/** Heartbeat details of `submitToFal`; `requestId` is `null` until fal has answered. */
export interface FalSubmitHeartbeat {
  readonly requestId: string | null;
}

export interface AwaitFalInput extends FalSubmission {
  readonly generationId: string;
  /** From `submittedAtMs` to the end: then the request is cancelled and the activity ends with TIMEOUT. */
  readonly totalSeconds: number;
}

export type FalPhase =
  /** In fal's queue. */
  | 'queued'
  | 'running'
  /** fal does not answer, or asks for patience; the request goes on all the same. */
  | 'unreachable';

/** Heartbeat details of `awaitFal`, for the API and the Web UI. */
export interface FalProgress {
  readonly requestId: string;
  readonly phase: FalPhase;
  /** Requests before this one; `null` once it runs. */
  readonly queuePosition: number | null;
  /** The last line of the model's log, shortened; `null` when there is none. */
  readonly lastLog: string | null;
}

/** A file of a result, where fal keeps it for a while, and what fal says of it. Nothing of it is checked yet. */
export interface FalFile {
  readonly url: string;
  readonly contentType: string | null;
  readonly widthPx: number | null;
  readonly heightPx: number | null;
  readonly bytes: number | null;
  /** True when fal's safety checker objects: such a picture is delivered black. `null` when it says nothing. */
  readonly isFlagged: boolean | null;
}

export interface FalResult {
  readonly files: readonly FalFile[];
  /** `null` when the model does not say, or when it is no exact number in JavaScript. */
  readonly seed: number | null;
  /** On fal's runner; what it bills by. */
  readonly inferenceSeconds: number | null;
}

/** What needs the key: polled on `generation`. */
export interface FalActivities {
  readonly submitToFal: (input: SubmitToFalInput) => Promise<FalSubmission>;
  readonly awaitFal: (input: AwaitFalInput) => Promise<FalResult>;
}
