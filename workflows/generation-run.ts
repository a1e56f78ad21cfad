import type { Correction } from './domain/correct-graph.js';
import type { AdaptedGraph, BackendClaim, ProgressRecord } from './contracts/activities.js';
import type {
  ExpectedOutputs,
  GenerationInput,
  GenerationProgress,
  GraphReference,
  StoredOutput,
} from './contracts/generation.js';
import type { Checkpoint, LastPrompt, RenderedSoFar } from './contracts/checkpoint.js';
import type { FalRequest, FalSubmission } from './contracts/fal.js';
import { UNADAPTED } from './domain/adaptation.js';
import type { Adaptation } from './domain/adaptation.js';
import { changedParameters } from './domain/changed-parameters.js';
import { limitsOn } from './domain/deadlines.js';
import type { FalChoice } from './fal-choice.js';
import { mayStillRender } from './domain/failure.js';
import type { FailureKind } from './domain/failure.js';
import { abandonedRenderingsIn } from './domain/recovery.js';
import type { Recovery } from './domain/recoveries.js';
import { DEFAULT_RECOVERY } from './domain/recovery-policy.js';
import type { RecoveryPolicy } from './domain/recovery-policy.js';
import { publishStatus, tellStory } from './generation-story.js';
import { NoBackendNotice } from './no-backend-notice.js';
import { ProgressRecorder } from './progress-recorder.js';
import type { Inherited, PreparedRecovery } from './run-steps.js';
import { outOfTime } from './total-deadline.js';

/** What is rendered now: as it was accepted, or as recoveries have changed it. */
export interface RenderedGraph {
  readonly adaptation: Adaptation;
  readonly graph: GraphReference;
  readonly expected: ExpectedOutputs;
  readonly models?: readonly string[];
}

/** Stands for a backend where fal.ai renders. */
const FAL = 'fal';

/** One leads to the submission that counts; it may be passed by another meanwhile. */
const MAX_FOLLOWED = 3;

/** What one run of the Workflow knows; `progress` is replaced, never changed in place. */
export class GenerationRun {
  readonly input: GenerationInput;
  readonly policy: RecoveryPolicy;
  readonly noBackend = new NoBackendNotice();
  #rendered: RenderedGraph;
  /** Where it has failed for a reason of that backend. */
  #avoided: readonly string[] = [];
  /** Where what is rendered now would fail for the reason of the last failure. */
  #unsuitable: readonly string[] = [];
  /** Of the parts of the batch that are done. */
  #stored: readonly StoredOutput[] = [];
  #isStoredAsAsked = true;
  #inheritedPrompt: LastPrompt | null = null;
  #corrections: readonly Correction[] = [];
  /** What was delivered otherwise than asked. */
  #changed: Readonly<Record<string, unknown>> = {};
  #isOnFal = false;
  /** Why fal.ai does not take it, whatever changes. */
  #refusal: string | null = null;
  /** When what is collected last was ready. */
  #renderedAtMs: number | null = null;
  #progress: GenerationProgress = {
    status: 'QUEUED',
    phase: 'waiting',
    backendId: null,
    submission: 0,
    promptId: null,
    recoveries: [],
    abandonedRenderings: 0,
  };
  readonly #endedSubmissions: number[] = [];
  readonly #recorder = new ProgressRecorder();
  #followed = 0;
  /** The total limit, which runs from the first claim on the device of that claim. */
  #endsAtMs: number | null = null;

  constructor(input: GenerationInput) {
    this.input = input;
    this.policy = input.recovery ?? DEFAULT_RECOVERY;
    this.#rendered = { adaptation: UNADAPTED, graph: input.graph, expected: input.expected };
    tellStory(input, this.#progress);
  }

  get progress(): GenerationProgress {
    return this.#progress;
  }

  get rendered(): RenderedGraph {
    return this.#rendered;
  }

  /** By which it is queued; none of what was accepted before there were queues for models. */
  get models(): readonly string[] {
    return this.#rendered.models ?? this.input.models ?? [];
  }

  /** Of what a recovery has made smaller nothing is known. */
  get vramGb(): number | undefined {
    return this.#rendered.graph.sha256 === this.input.graph.sha256 ? this.input.vramGb : undefined;
  }

  get avoided(): readonly string[] {
    return [...new Set([...this.#avoided, ...this.#unsuitable])];
  }

  get stored(): readonly StoredOutput[] {
    return this.#stored;
  }

  /** False when something of it is smaller, or of another model, than was asked for. */
  get isStoredAsAsked(): boolean {
    return this.#isStoredAsAsked;
  }

  /** Of the generation that this one repeats, for the first claim. */
  get inheritedPrompt(): LastPrompt | null {
    return this.#progress.submission === 0 ? this.#inheritedPrompt : null;
  }

  get changed(): Readonly<Record<string, unknown>> {
    return this.#changed;
  }

  /** What fal.ai would render; `null` for what was accepted before there was another provider. */
  get falChoice(): FalChoice | null {
    const { provider, fal } = this.input;
    if (provider === undefined || fal === undefined) return null;
    const refusal = this.#refusal;
    return { provider, fal: refusal === null ? fal : { reason: refusal }, isStrict: this.policy.isStrict };
  }

  /** Not by its name: a backend may be called so. */
  get isOnFal(): boolean {
    return this.#isOnFal;
  }

  get renderedAtMs(): number | null {
    return this.#renderedAtMs;
  }

  /** The provider is through; its files are being fetched. */
  noteRendered(): void {
    this.#renderedAtMs = Date.now();
    this.advance({ phase: 'collecting' });
  }

  /** Submissions whose result is not waited for any more; a claim must not adopt them. */
  get endedSubmissions(): readonly number[] {
    return this.#endedSubmissions;
  }

  advance(change: Partial<GenerationProgress>): void {
    this.#progress = { ...this.#progress, ...change };
    tellStory(this.input, this.#progress);
  }

  noteClaim(claim: BackendClaim): void {
    const { totalSeconds } = limitsOn(claim.device, this.input.limits);
    this.#endsAtMs ??= Date.now() + totalSeconds * 1_000;
    const { backendId, submission, promptId } = claim;
    this.advance({ phase: 'submitting', backendId, submission, promptId });
  }

  /** What is left of the total limit; throws `TIMEOUT` when nothing is. */
  leftMs(): number {
    const leftMs = Math.round((this.#endsAtMs ?? Date.now()) - Date.now());
    if (leftMs <= 0) throw outOfTime();
    return leftMs;
  }

  /** What ComfyUI was handed otherwise than it was written, told with the beginning of the rendering. */
  noteCorrections(corrections: readonly Correction[]): void {
    this.#corrections = corrections;
  }

  /** Rendering has begun. Said once for each submission, whoever says it first. */
  noteProcessing(startedAtMs: number): void {
    const { status, backendId } = this.#progress;
    if (status === 'PROCESSING' || backendId === null) return;
    this.advance({ status: 'PROCESSING', phase: 'rendering' });
    if (this.#progress.recoveries.length === 0) publishStatus(this.#progress, null);
    const corrections = this.#corrections;
    // A prompt that was taken over has begun before this generation was there.
    const sinceMs = Math.max(startedAtMs, this.input.acceptedAtMs);
    const corrected = corrections.length > 0 && { corrections };
    this.#record({ type: 'processing', backendId, startedAtMs: sinceMs, ...corrected });
  }

  /** A claim follows; it may adopt the submission when that may still render. */
  noteRecovery({ kind, recovery, adapted, rendered, rule, wasRunning, unsuitable }: PreparedRecovery): void {
    const checkpoint = rendered === null ? null : this.#checkpointAt(rendered);
    if (!mayStillRender(kind)) this.#endedSubmissions.push(this.#progress.submission);
    const { backendId } = this.#progress;
    if (recovery.place === 'other' && backendId !== null) this.#avoided = [...this.#avoided, backendId];
    this.#unsuitable = unsuitable;
    if (adapted !== null) this.#adapt(adapted);
    this.#note(kind, recovery, { phase: 'waiting', adapted, checkpoint, rule, wasRunning });
  }

  /** What the generation that this one repeats has left; `next` is the graph of the part that follows what is stored. */
  noteInherited({ stored, next, prompt }: Inherited): void {
    this.#inheritedPrompt = prompt;
    this.#stored = stored;
    if (next !== null) this.#rendered = next;
  }

  /** A part of the batch is stored; `next` is the graph of the part that follows. */
  notePartStored(stored: readonly StoredOutput[], next: AdaptedGraph): void {
    this.#stored = stored;
    this.#isStoredAsAsked &&= Object.keys(this.#changed).length === 0;
    this.#endedSubmissions.push(this.#progress.submission);
    this.#rendered = next;
    this.advance({ phase: 'waiting' });
  }

  /**
   * A reset has brought this run back before a later submission. The next claim leads to that one; false when that has
   * happened too often to be the reason.
   */
  followsLaterSubmission(): boolean {
    this.#followed += 1;
    if (this.#followed > MAX_FOLLOWED) return false;
    this.advance({ phase: 'waiting' });
    return true;
  }

  /** The files are fetched once more; the submission stands. */
  noteDownloadAgain(kind: FailureKind, recovery: Recovery): void {
    this.#note(kind, recovery, { phase: 'collecting', adapted: null, checkpoint: null });
  }

  /** From here on it is fal.ai's: all of it, as it was asked for. */
  noteFallback(kind: FailureKind, recovery: Recovery): void {
    this.#note(kind, recovery, { phase: 'waiting', adapted: null, checkpoint: null });
  }

  /** It goes on waiting for a backend, and everybody can see why. */
  noteNoFallback(reason: string): void {
    if (reason === this.#progress.fallbackObstacle) return;
    this.advance({ fallbackObstacle: reason });
    const status = this.#progress.status === 'RECOVERING' ? 'RECOVERING' : 'QUEUED';
    this.#record({ type: 'no_fallback', reason, status });
  }

  /** fal.ai took none of it and will not: the generation waits as if there were no fallback. */
  noteRefusedFallback(reason: string): void {
    this.#refusal = reason;
    const { recoveries, submission } = this.#progress;
    const last = recoveries.length - 1;
    this.advance({
      status: submission === 0 ? 'QUEUED' : 'RECOVERING',
      recoveries: recoveries.map((note, index) => (index === last ? { ...note, isRefused: true } : note)),
    });
    this.noteNoFallback(reason);
  }

  noteFalSubmission({ modelId, requestId }: FalSubmission, { unmapped }: FalRequest): void {
    const { graph, expected } = this.input;
    this.#rendered = { adaptation: UNADAPTED, graph, expected };
    this.#isOnFal = true;
    this.#stored = [];
    this.#changed = { ...Object.fromEntries(unmapped.map((name) => [name, null])), model: modelId };
    const submission = this.#progress.submission + 1;
    this.advance({ status: 'PROCESSING', phase: 'rendering', backendId: FAL, submission, promptId: requestId });
    const hasSwitched = this.#progress.recoveries.length > 0;
    this.#record({ type: 'processing', backendId: FAL, startedAtMs: Date.now(), provider: FAL, hasSwitched });
  }

  /** Resolves when nothing that was noted is still being written: the outcome must be the last word. */
  recorded(): Promise<void> {
    return this.#recorder.recorded();
  }

  #checkpointAt(rendered: RenderedSoFar): Checkpoint {
    const files = this.#stored.map(({ objectKey }) => objectKey);
    return { ...rendered, graphKey: this.#rendered.graph.key, files };
  }

  #adapt(adapted: AdaptedGraph): void {
    this.#rendered = adapted;
    this.#changed = { ...this.#changed, ...changedParameters(adapted) };
  }

  #note(
    kind: FailureKind,
    ...[{ strategy, message }, { phase, adapted, checkpoint, rule = null, wasRunning = true }]: [
      Recovery,
      {
        readonly phase: GenerationProgress['phase'];
        readonly adapted: AdaptedGraph | null;
        readonly checkpoint: Checkpoint | null;
        readonly rule?: string | null;
        readonly wasRunning?: boolean;
      },
    ]
  ): void {
    const { recoveries } = this.#progress;
    const parameters = adapted === null ? {} : { before: adapted.before, after: adapted.after };
    const recovery = {
      attempt: recoveries.length + 1,
      kind,
      strategy,
      message,
      ...(rule !== null && { rule }),
      ...(!wasRunning && { wasRunning }),
      ...parameters,
    };
    const all = [...recoveries, recovery];
    this.advance({ status: 'RECOVERING', phase, recoveries: all, abandonedRenderings: abandonedRenderingsIn(all) });
    if (recoveries.length === 0) publishStatus(this.#progress, null);
    const models = adapted?.models;
    const details = { ...(checkpoint !== null && { checkpoint }), ...(models !== undefined && { models }) };
    this.#record({ type: 'recovering', recovery, avoided: this.avoided, ...details });
  }

  #record(record: ProgressRecord): void {
    const { generationId } = this.input;
    this.#recorder.record({ generationId, submission: this.#progress.submission, record });
  }
}
