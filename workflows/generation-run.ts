import { log } from '@temporalio/workflow';
import { recordProgress } from './activity-options.js';
import type { BackendClaim, ProgressRecord } from './contracts/activities.js';
import type { GenerationInput, GenerationProgress } from './contracts/generation.js';
import { limitsOn } from './domain/deadlines.js';
import { mayStillRender } from './domain/failure.js';
import type { FailureKind } from './domain/failure.js';
import { abandonedRenderingsIn } from './domain/recovery.js';
import type { Recovery } from './domain/recovery.js';
import { publishStatus, tellStory } from './generation-story.js';
import { outOfTime } from './total-deadline.js';

type TriedRecovery = Exclude<Recovery, { action: 'give_up' }>;

/** One leads to the submission that counts; it may be passed by another meanwhile. */
const MAX_FOLLOWED = 3;

/** What one run of the Workflow knows; `progress` is replaced, never changed in place. */
export class GenerationRun {
  readonly input: GenerationInput;
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
  readonly #recordings: Promise<void>[] = [];
  #followed = 0;
  /** The total limit, which runs from the first claim on the device of that claim. */
  #endsAtMs: number | null = null;

  constructor(input: GenerationInput) {
    this.input = input;
    tellStory(input, this.#progress);
  }

  get progress(): GenerationProgress {
    return this.#progress;
  }

  /** Submissions that have ended without a result; a claim must not adopt them. */
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

  /** Rendering has begun. Said once for each submission, whoever says it first. */
  noteProcessing(startedAtMs: number): void {
    const { status, backendId } = this.#progress;
    if (status === 'PROCESSING' || backendId === null) return;
    this.advance({ status: 'PROCESSING', phase: 'rendering' });
    if (this.#progress.recoveries.length === 0) publishStatus(this.#progress, null);
    this.#record({ type: 'processing', backendId, startedAtMs });
  }

  /** A claim follows; it may adopt the submission when that may still render. */
  noteRecovery(kind: FailureKind, recovery: TriedRecovery): void {
    if (!mayStillRender(kind)) this.#endedSubmissions.push(this.#progress.submission);
    this.#note(kind, recovery, 'waiting');
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
  noteDownloadAgain(kind: FailureKind, recovery: TriedRecovery): void {
    this.#note(kind, recovery, 'collecting');
  }

  /** Resolves when nothing that was noted is still being written: the outcome must be the last word. */
  async recorded(): Promise<void> {
    await Promise.all(this.#recordings);
  }

  #note(kind: FailureKind, ...[{ strategy, message }, phase]: [TriedRecovery, GenerationProgress['phase']]): void {
    const { recoveries } = this.#progress;
    const recovery = { attempt: recoveries.length + 1, kind, strategy, message };
    const all = [...recoveries, recovery];
    this.advance({ status: 'RECOVERING', phase, recoveries: all, abandonedRenderings: abandonedRenderingsIn(all) });
    if (recoveries.length === 0) publishStatus(this.#progress, null);
    this.#record({ type: 'recovering', recovery });
  }

  /** Beside the next step. An outage of the database delays the story, never the rendering. */
  #record(record: ProgressRecord): void {
    const { generationId } = this.input;
    const { submission } = this.#progress;
    const previous = this.#recordings.at(-1) ?? Promise.resolve();
    const recording = previous
      .then(async () => recordProgress({ generationId, submission, record }))
      .catch((error: unknown) => {
        log.warn('Progress was not recorded; the outcome will be', { error });
      });
    this.#recordings.push(recording);
  }
}
