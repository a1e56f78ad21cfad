import { defineSignal } from '@temporalio/workflow';

/** What goes to the model on fal.ai, as a JSON document in the object store: a picture may be in it, and is in no history. */
export interface FalInputReference {
  readonly key: string;
  readonly sha256: string;
}

/** R1.4. `comfyui` may fall back to fal.ai; `fal` runs there at once; `comfyui-only` never pays. */
export const PROVIDER_MODES = ['comfyui', 'fal', 'comfyui-only'] as const;
export type ProviderMode = (typeof PROVIDER_MODES)[number];

/** The same request as a model on fal.ai takes it; decided at acceptance, like the graph. */
export interface FalRequest {
  readonly modelId: string;
  readonly input: FalInputReference;
  /** What it is expected to cost at most, in US dollars. */
  readonly usd: number;
  /** Parameters of the template that the model does not know: it decides them itself. */
  readonly unmapped: readonly string[];
  /** Those of them that the caller has chosen. */
  readonly leftOut: readonly string[];
}

/** A request that cannot run on fal.ai, and why. */
export interface NoFalRequest {
  readonly reason: string;
}

/** What keeps one from fal.ai that could run there. */
export interface FalObstacle extends NoFalRequest {
  /** The same request may be taken later, with nothing changed. */
  readonly isPassing: boolean;
}

/** Sent when a generation waits and no backend has been healthy for long; an operator may send it, too. */
export const noBackendSignal = defineSignal<[reason?: unknown]>('noBackend');

export interface ReserveFalInput {
  readonly generationId: string;
  readonly modelId: string;
  readonly usd: number;
}

/** `obstacle`: why nothing may be posted, in words; `null` when the price is set aside. */
export interface FalReservation {
  readonly obstacle: string | null;
  readonly isPassing?: boolean;
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

/** What needs the key or the database: polled on `generation`. */
export interface FalActivities {
  /** Sets aside what one generation may cost, under the ceilings; once for each, however often it is asked. */
  readonly reserveFal: (input: ReserveFalInput) => Promise<FalReservation>;
  readonly submitToFal: (input: SubmitToFalInput) => Promise<FalSubmission>;
  readonly awaitFal: (input: AwaitFalInput) => Promise<FalResult>;
}
