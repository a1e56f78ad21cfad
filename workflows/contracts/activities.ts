import type { Adaptation, GraphChange, GraphParameters } from '../domain/adaptation.js';
import type { Correction } from '../domain/correct-graph.js';
import type { FailureKind } from '../domain/failure.js';
import type { ParameterAdjustment } from '../domain/recovery-rule.js';
import type { GenerationStatus, TerminalStatus } from '../domain/generation-status.js';
import type { AbsenceLimits } from '../domain/worker-timings.js';
import type { Checkpoint, LastPrompt, Resumption } from './checkpoint.js';
import type {
  ExpectedOutputs,
  GraphReference,
  GraphRules,
  MediaFacts,
  OutputKind,
  RecoveryNote,
  StoredOutput,
} from './generation.js';

/** What a backend renders with; limits for a CPU are ten times longer (R3.5). */
export type DeviceKind = 'gpu' | 'cpu';

export interface DiscoverBackendInput {
  readonly generationId: string;
  /** Submissions that this Workflow has seen end; a claim record of one of them is not adopted. */
  readonly endedSubmissions: readonly number[];
  /** The last submission that this Workflow has claimed, 0 before the first; a higher one is of a run before a reset. */
  readonly lastSubmission: number;
  /** That is to be rendered: a submission of another one is not adopted. */
  readonly graph: GraphReference;
  /** Backends that do not take it: it has failed there for a reason that is theirs. */
  readonly avoid: readonly string[];
  /** What it needs of a card, where that is known: a smaller one leaves it to others that may have as much. */
  readonly vramGb?: number;
  /** Of the generation that this one repeats: taken where it has finished and renders the same graph. */
  readonly inheritedPrompt?: LastPrompt;
}

/** The claim: which backend renders, and under which number. */
export interface BackendClaim {
  readonly backendId: string;
  /** The backend's own queue, `gpu@<backendId>`. */
  readonly taskQueue: string;
  /** Minted by the claim record; grows over resets. */
  readonly submission: number;
  readonly promptId: string;
  /** `adopt`: the prompt of this number is alive or has succeeded; after a reset perhaps on another backend. */
  readonly decision: 'new' | 'adopt';
  readonly device: DeviceKind;
}

export interface SubmitPromptInput {
  readonly generationId: string;
  readonly submission: number;
  readonly promptId: string;
  readonly graph: GraphReference;
  readonly graphRules?: GraphRules;
}

export interface SubmittedPrompt {
  readonly state: 'pending' | 'running' | 'finished';
  /** Nodes of the graph, for the percentage. */
  readonly nodeCount: number;
  /** What was written otherwise than this ComfyUI knows it; absent when nothing was. */
  readonly corrections?: readonly Correction[];
}

export interface AwaitCompletionInput {
  readonly generationId: string;
  readonly promptId: string;
  readonly nodeCount: number;
  /** True while the status is still QUEUED: `started` is signalled when the prompt begins. */
  readonly signalsStart: boolean;
  readonly renderSeconds: number;
  readonly stallSeconds: number;
  readonly backendReturnSeconds: number;
}

/** One file or text that a finished prompt reports. */
export interface OutputReference {
  readonly nodeId: string;
  readonly kind: OutputKind;
  /** Where `/view` finds it; `null` for a text, which lies in the history itself, and for a file at an address. */
  readonly file: { readonly filename: string; readonly subfolder: string; readonly type: string } | null;
  /** Where fal.ai keeps it for a while. */
  readonly url?: string;
  /** Position among the texts of this node; 0 for files. */
  readonly textIndex: number;
}

export interface CompletedPrompt {
  readonly outputs: readonly OutputReference[];
  /** Milliseconds since the epoch, by ComfyUI's clock; `null` when it does not say. */
  readonly startedAtMs: number | null;
}

export interface DownloadOutputsInput {
  readonly generationId: string;
  readonly submission: number;
  readonly promptId: string;
  readonly outputs: readonly OutputReference[];
}

/** An output on the worker's own disk, counted and hashed. */
export interface SpooledOutput {
  readonly index: number;
  readonly reference: OutputReference;
  readonly bytes: number;
  readonly sha256: string;
}

export interface ValidateOutputsInput {
  readonly generationId: string;
  readonly submission: number;
  readonly promptId: string;
  readonly outputs: readonly SpooledOutput[];
  readonly expected: ExpectedOutputs;
}

/** An output whose bytes have been decoded and found to be what was asked for. */
export interface ValidOutput extends SpooledOutput, MediaFacts {
  readonly extension: string;
}

export interface UploadOutputsInput {
  readonly generationId: string;
  readonly submission: number;
  readonly promptId: string;
  readonly outputs: readonly ValidOutput[];
  /** Kinds of what earlier parts of the batch have stored: the numbers go on after them. */
  readonly stored: readonly OutputKind[];
}

export interface AdaptGraphInput {
  /** As it was accepted. */
  readonly graph: GraphReference;
  readonly expected: ExpectedOutputs;
  readonly adaptation: Adaptation;
  readonly change: GraphChange;
  readonly substitutes: readonly string[];
  /** With the change `switch_model`: whose files the substitute must be one of, where they are known. */
  readonly backendId?: string;
  /** With the change `adjust_params`. */
  readonly adjust?: readonly ParameterAdjustment[];
}

/** The graph as it is rendered from now on. */
export interface AdaptedGraph {
  readonly adaptation: Adaptation;
  readonly graph: GraphReference;
  readonly expected: ExpectedOutputs;
  readonly before: GraphParameters;
  readonly after: GraphParameters;
  /** Heavy model files, by which it is queued; absent from histories of earlier versions. */
  readonly models?: readonly string[];
}

/** `models`: the model files that the graph names; `more_vram`: than the one that it failed on. */
export type OtherBackendWanted = 'any' | 'more_vram' | 'models';

export interface FindOtherBackendInput {
  readonly pool: string;
  readonly avoid: readonly string[];
  readonly failedOn: string;
  readonly wanted: OtherBackendWanted;
  /** Model files that are known to be missing where it failed. */
  readonly missing: readonly string[];
  readonly graph: GraphReference;
}

export interface OtherBackends {
  /** One that is healthy, takes generations and has what is wanted, as far as is known. */
  readonly isThere: boolean;
  /** Those that are known not to have it. */
  readonly unsuitable: readonly string[];
}

export interface FreeMemoryInput {
  readonly frees: 'models' | 'all';
}

export interface StopPromptInput {
  readonly promptId: string;
}

/** What really happened to a prompt that was to be stopped. */
export interface StoppedPrompt {
  readonly outcome: 'removed' | 'interrupted' | 'finished' | 'absent';
}

export interface ObserveBackendInput {
  readonly backendId: string;
  /** Absent in activities that an earlier version scheduled: the defaults. */
  readonly limits?: AbsenceLimits;
}

export interface BackendObservation {
  /** True when a worker is known to be alive and to work for this backend. */
  readonly isHeld: boolean;
}

export type ProgressRecord =
  | {
      readonly type: 'processing';
      /** `fal` on fal.ai. */
      readonly backendId: string;
      readonly startedAtMs: number;
      readonly provider?: 'fal';
      /** False where fal.ai was asked for from the beginning; absent in histories of earlier versions. */
      readonly hasSwitched?: boolean;
      readonly corrections?: readonly Correction[];
    }
  | {
      readonly type: 'recovering';
      readonly recovery: RecoveryNote;
      /** Backends that do not get it again; absent in histories of earlier versions. */
      readonly avoided?: readonly string[];
      /** How far the rendering had come; absent when that is not known. */
      readonly checkpoint?: Checkpoint;
      /** Heavy models of what is rendered from now on, where the recovery has changed the graph: another queue waits. */
      readonly models?: readonly string[];
    }
  | {
      readonly type: 'no_fallback';
      /** Why fal.ai does not take it, in words. */
      readonly reason: string;
      readonly status: Extract<GenerationStatus, 'QUEUED' | 'RECOVERING'>;
    };

export interface RecordProgressInput {
  readonly generationId: string;
  readonly submission: number;
  readonly record: ProgressRecord;
}

/** Why a generation failed: for people in `detail`, for machines in `facts`. */
export interface FailureRecord {
  readonly kind: FailureKind;
  readonly detail: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface RecordOutcomeInput {
  readonly generationId: string;
  readonly submission: number;
  readonly status: TerminalStatus;
  readonly outputs: readonly StoredOutput[];
  readonly failure: FailureRecord | null;
  /** Parameters that were delivered otherwise than asked; `null`: as the model on fal.ai decided. */
  readonly changed?: Readonly<Record<string, unknown>>;
  /** Absent: ComfyUI. */
  readonly provider?: 'fal';
  /** What is left to a generation that repeats this one; absent: nothing. */
  readonly resumption?: Resumption;
  /** When the provider was through with what was delivered; absent when nothing was. */
  readonly renderedAtMs?: number;
}

export interface ExplainNoCapacityInput {
  readonly pool: string;
  /** Why fal.ai cannot stand in for this request; `null`: only its key can be missing. Absent: nobody wants to know. */
  readonly falObstacle?: string | null;
  /** What was to be rendered, and where it has failed before; absent from histories of earlier versions. */
  readonly wanted?: {
    readonly graph: GraphReference;
    readonly vramGb: number | null;
    readonly avoid: readonly string[];
  };
}

/** Polled on the gated queues of a pool: it decides where a generation renders. */
export interface ClaimActivities {
  readonly discoverBackend: (input: DiscoverBackendInput) => Promise<BackendClaim>;
}

/** Polled on `gpu@<backendId>`: everything that talks to one ComfyUI. */
export interface BackendActivities {
  readonly submitPrompt: (input: SubmitPromptInput) => Promise<SubmittedPrompt>;
  readonly awaitCompletion: (input: AwaitCompletionInput) => Promise<CompletedPrompt>;
  readonly stopPrompt: (input: StopPromptInput) => Promise<StoppedPrompt>;
  /** ComfyUI unloads its models and empties its caches before it renders the next prompt. */
  readonly freeMemory: (input: FreeMemoryInput) => Promise<void>;
  readonly downloadOutputs: (input: DownloadOutputsInput) => Promise<readonly SpooledOutput[]>;
  readonly validateOutputs: (input: ValidateOutputsInput) => Promise<readonly ValidOutput[]>;
  readonly uploadOutputs: (input: UploadOutputsInput) => Promise<readonly StoredOutput[]>;
}

/** Polled on `generation`: what needs the database or Temporal itself. */
export interface ControlActivities {
  readonly recordProgress: (input: RecordProgressInput) => Promise<void>;
  readonly recordOutcome: (input: RecordOutcomeInput) => Promise<void>;
  readonly observeBackend: (input: ObserveBackendInput) => Promise<BackendObservation>;
  /** Writes the graph of one more change; `null` when that would change nothing. */
  readonly adaptGraph: (input: AdaptGraphInput) => Promise<AdaptedGraph | null>;
  /** True when a worker of the pool reports that may take what the others could not. */
  readonly findOtherBackend: (input: FindOtherBackendInput) => Promise<OtherBackends>;
  /** What every known backend said when it was last asked, as one text. */
  readonly explainNoCapacity: (input: ExplainNoCapacityInput) => Promise<string>;
}
