import { defineQuery, defineSignal } from '@temporalio/workflow';
import type { GraphParameters } from '../domain/adaptation.js';
import type { FalRequest, NoFalRequest, ProviderMode } from './fal.js';
import type { FailureKind } from '../domain/failure.js';
import type { GenerationStatus } from '../domain/generation-status.js';
import type { RecoveryPolicy } from '../domain/recovery-policy.js';

/** Workflow Type in event histories and the Web UI: the name of the exported function, for good. */
export const GENERATE_MEDIA = 'generateMedia';

/** Memo of a generation: the `WorkerTimings` of the control worker that started it. */
export const TIMINGS_MEMO = 'workerTimings';

/** `ApplicationFailure.type` of a Workflow that was reset after its generation had ended. No failure kind: nothing failed. */
export const ALREADY_ENDED = 'ALREADY_ENDED';

/** `ApplicationFailure.type` of an activity that was left behind by a later submission: the claim says which one counts. */
export const SUPERSEDED = 'SUPERSEDED';

/** What happens with a picture of one flat colour: let it pass, let it pass and say so, or fail. */
export type FlatImagePolicy = 'allow' | 'flag' | 'fail';

/** A graph in ComfyUI's API format, bound at acceptance: editing a template cannot change an accepted generation. */
export interface GraphReference {
  /** Object key, `graphs/<sha256>.json`; graphs of a batch lie together, under the hash of all of them. */
  readonly key: string;
  readonly sha256: string;
}

/** What the outputs must be to count as delivered; a field that the request leaves open is `null`. */
export interface ExpectedOutputs {
  readonly kind: OutputKind | null;
  readonly widthPx: number | null;
  readonly heightPx: number | null;
  /** Number of files, all output nodes together. */
  readonly count: number | null;
  /** Pictures in each file: 1 for a still, more for a video or an animation. */
  readonly frames: number | null;
  readonly durationSeconds: number | null;
  /** True where a video must have a sound; absent: it may have one. */
  readonly hasSound?: true;
  /** Object key of a picture of the caller; where every output is that picture, unchanged, its node has found no face. */
  readonly noFaceIfUnchanged?: string;
  readonly flatImages: FlatImagePolicy;
  /** Absent: a picture of nothing but noise is delivered like any other. */
  readonly noisyImages?: 'fail';
}

/** Time limits for a GPU; a backend that renders on its CPU gets ten times the rendering limits (R3.5). */
export interface GenerationLimits {
  /** From acceptance to the first claim. */
  readonly startSeconds: number;
  /** From ComfyUI's `execution_start` to its end. */
  readonly renderSeconds: number;
  /** From the claim to the end of rendering; `null`: the larger of 30 min and three times the rendering limit. */
  readonly totalSeconds: number | null;
  /** Without a new node or step while the websocket delivers. */
  readonly stallSeconds: number;
  /** How long a backend that stopped answering is waited for. */
  readonly backendReturnSeconds: number;
}

/** What graphs of callers must keep at submission, beside what was judged at acceptance. */
export interface GraphRules {
  /** Names of classes that the operators allow although their category is denied. */
  readonly allowedClasses: readonly string[];
}

/** Everything that one generation is started with: ids, keys and small numbers, no bytes and no graph. */
export interface GenerationInput {
  readonly generationId: string;
  readonly accountId: string;
  /** Template name, or `graph` for a graph that the caller brought. */
  readonly template: string;
  readonly graph: GraphReference;
  /** Backends are grouped into pools; `default` is the Task Queue `gpu`. */
  readonly pool: string;
  readonly expected: ExpectedOutputs;
  readonly limits: GenerationLimits;
  /** Absent from what was accepted before recoveries could be chosen: then `DEFAULT_RECOVERY`. */
  readonly recovery?: RecoveryPolicy;
  /** Absent from what was accepted before there was another provider: then ComfyUI alone. */
  readonly provider?: ProviderMode;
  readonly fal?: FalRequest | NoFalRequest;
  /** What its template says that it needs of a card; absent where nothing is known. */
  readonly vramGb?: number;
  /** Id of the failed generation that this one repeats, where that has left something to go on from. */
  readonly resumesFrom?: string;
  /** Heavy model files of the graph, by which it is queued; absent from what was accepted before there were such queues. */
  readonly models?: readonly string[];
  /** Absent: a template, or a graph of somebody who is trusted. */
  readonly graphRules?: GraphRules;
  /** Milliseconds since the epoch, from the database's clock. */
  readonly acceptedAtMs: number;
}

/** What was found out about a file by decoding it; `null` where its kind has no such thing. */
export interface MediaFacts {
  readonly mediaType: string;
  readonly widthPx: number | null;
  readonly heightPx: number | null;
  /** Pictures in a video or an animation. */
  readonly frames: number | null;
  /** Of a video, an animation or a sound. */
  readonly durationSeconds: number | null;
  /** True when every pixel of a picture has the same colour. */
  readonly isFlat: boolean;
}

/** One stored result. */
export interface StoredOutput extends MediaFacts {
  readonly index: number;
  readonly kind: OutputKind;
  readonly objectKey: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export const OUTPUT_KINDS = ['image', 'video', 'audio', 'text', 'file', 'latent'] as const;
export type OutputKind = (typeof OUTPUT_KINDS)[number];

/** Result of a Workflow that closed as Completed. */
export interface GenerationResult {
  readonly generationId: string;
  /** `fal` when fal.ai has rendered. */
  readonly backendId: string;
  readonly submission: number;
  readonly outputs: readonly StoredOutput[];
}

/** Where a generation is, in the words that the Web UI and the query show. */
export interface GenerationProgress {
  readonly status: GenerationStatus;
  readonly phase: 'waiting' | 'submitting' | 'pending' | 'rendering' | 'collecting' | 'recording' | 'ended';
  readonly backendId: string | null;
  readonly submission: number;
  readonly promptId: string | null;
  readonly recoveries: readonly RecoveryNote[];
  /** Times that a backend was given up for gone while its ComfyUI might still render the prompt. */
  readonly abandonedRenderings: number;
  /** Why fal.ai does not take it while no backend is healthy; absent: nobody has asked it. */
  readonly fallbackObstacle?: string;
}

/** One recovery: what went wrong, and what was done about it. */
export interface RecoveryNote {
  readonly attempt: number;
  readonly kind: FailureKind;
  readonly strategy: string;
  readonly message: string;
  /** The rule of the operators that it followed. */
  readonly rule?: string;
  /** False for a prompt that only waited when its ComfyUI crashed. */
  readonly wasRunning?: boolean;
  /** fal.ai took none of it, and the generation goes on waiting for a backend. */
  readonly isRefused?: true;
  /** What was asked of ComfyUI before and after, where the recovery changed it. */
  readonly before?: GraphParameters;
  readonly after?: GraphParameters;
}

export const progressQuery = defineQuery<GenerationProgress>('progress');

/** That a prompt has begun to render. */
export interface PromptStarted {
  readonly promptId: string;
  readonly startedAtMs: number;
}

/** Sent once by `awaitCompletion` when a prompt that was pending on ComfyUI begins to render. */
export const startedSignal = defineSignal<[PromptStarted]>('started');

/** Narrows the contents of a signal. */
export function isStarted(value: unknown): value is PromptStarted {
  if (typeof value !== 'object' || value === null || !('promptId' in value) || !('startedAtMs' in value)) return false;
  return typeof value.promptId === 'string' && Number.isFinite(value.startedAtMs);
}

/** `generation/<generationId>`: ids are never reused, so neither is the Workflow Id. */
export function generationWorkflowId(generationId: string): string {
  return `generation/${generationId}`;
}

/** What `awaitCompletion` puts into its heartbeat; the API shows it as live progress. */
export interface RenderingHeartbeat {
  readonly promptId: string;
  readonly state: 'pending' | 'running';
  /** Node that renders now, `null` before the first. */
  readonly nodeId: string | null;
  readonly step: number | null;
  readonly steps: number | null;
  /** 0 to 100 over the whole graph; never falls while one prompt renders. */
  readonly percent: number;
  /** Milliseconds since the epoch when rendering was first seen; survives a worker through the heartbeat. */
  readonly runningSinceMs: number | null;
  /** An earlier prompt that ComfyUI had finished: if it no longer knows that one, it was restarted. */
  readonly canary?: string | null;
  /** Waited behind another prompt of ours when it was last seen. */
  readonly isBehindAnother?: boolean;
  /** Its worker is taking it from ComfyUI. News, so that a heartbeat is sent: the answer to it brings the cancel. */
  readonly isStopped?: boolean;
}
