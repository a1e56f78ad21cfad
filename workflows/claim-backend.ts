import { CancellationScope, isCancellation, log, patched } from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/common';
import { claimOptions, explainNoCapacity, returnOptions } from './activity-options.js';
import type { BackendClaim, ClaimActivities } from './contracts/activities.js';
import { falRequestOf } from './fal-choice.js';
import type { FailureKind } from './domain/failure.js';
import { checked } from './checked.js';
import { OBSTACLE_IS_TOLD, fallbackObstacle, mayFallBack } from './fall-back.js';
import { failureRecordOf, isClaimTimeout } from './failure-record.js';
import type { GenerationRun } from './generation-run.js';

/** Later claims are ended by the total deadline around them; Temporal wants a limit all the same. */
const LATER_CLAIM_MS = 30 * 24 * 60 * 60_000;

/** Waits for a GPU until the start deadline; then the failure says what every known backend said. */
export async function claimFirstBackend(run: GenerationRun): Promise<BackendClaim> {
  const { acceptedAtMs, limits } = run.input;
  const waitMs = Math.max(1_000, acceptedAtMs + limits.startSeconds * 1_000 - Date.now());
  try {
    return await claim(run, waitMs);
  } catch (error) {
    if (isCancellation(error) || !isClaimTimeout(error)) throw error;
    throw noCapacity(`No GPU took the generation within ${limits.startSeconds} s. ${await explanationOf(run)}`);
  }
}

/** Claims again after a recovery, on the same backend or on another. */
export function claimBackend(run: GenerationRun): Promise<BackendClaim> {
  return claim(run, LATER_CLAIM_MS);
}

/** Claims the backend again on which the generation failed and which keeps its place, else any. */
export async function returnToBackend(run: GenerationRun, last: BackendClaim): Promise<BackendClaim> {
  try {
    return await claimBy(run, returnOptions(last));
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.info('The backend does not take the generation back; any may have it', { backendId: last.backendId, error });
    return claimBackend(run);
  }
}

function claim(run: GenerationRun, waitMs: number): Promise<BackendClaim> {
  const { pool, template } = run.input;
  return claimBy(run, claimOptions({ pool, models: run.models }, { waitMs, summary: `Wait for a GPU: ${template}` }));
}

async function claimBy(run: GenerationRun, { discoverBackend }: ClaimActivities): Promise<BackendClaim> {
  const { endedSubmissions, progress, input, rendered, avoided, vramGb, inheritedPrompt } = run;
  const { generationId } = input;
  const claiming = (): Promise<BackendClaim> =>
    checked(
      discoverBackend({
        ...{ generationId, endedSubmissions, lastSubmission: progress.submission },
        ...{ graph: rendered.graph, avoid: avoided },
        ...(vramGb !== undefined && { vramGb }),
        ...(inheritedPrompt !== null && { inheritedPrompt }),
      }),
    );
  const claimed = await (mayFallBack(run) ? unlessNoBackend(run, claiming) : claiming());
  run.noteClaim(claimed);
  return claimed;
}

/** What keeps a generation waiting in vain is what went wrong before, and what nobody offers now. */
export async function explainedWait(run: GenerationRun, ...[error, cause]: [unknown, unknown]): Promise<unknown> {
  if (isCancellation(error) || run.falChoice === null) return error;
  const { kind, detail, facts } = failureRecordOf(error);
  const before = failureRecordOf(cause);
  if (kind === 'NO_CAPACITY') return noCapacity(`${detail} Before: ${before.detail}.`, { ...facts, before });
  if (kind !== 'TIMEOUT') return error;
  const message = `${detail}. Before: ${before.detail}. ${await explanationOf(run)}`;
  return ApplicationFailure.create({ type: kind, message, nonRetryable: true, details: [{ ...facts, before }] });
}

/**
 * Waits for a claim until no backend is healthy and the fallback is ready: without one the generation goes on waiting. A
 * claim that comes all the same counts.
 */
async function unlessNoBackend(run: GenerationRun, claiming: () => Promise<BackendClaim>): Promise<BackendClaim> {
  const waiting = new CancellationScope();
  const watch = new FallbackWatch(run, () => {
    waiting.cancel();
  });
  try {
    return await waiting.run(claiming);
  } catch (error) {
    if (!watch.isReady || !isCancellation(error) || CancellationScope.current().consideredCancelled) throw error;
    throw noCapacity(await explanationOf(run), { isWithoutBackend: true });
  } finally {
    const looking = watch.close();
    if (looking !== null) await looking;
  }
}

/**
 * Looks, as soon as no backend is healthy, whether the fallback is ready. Until it is told so it costs nothing: promises
 * are what a Workflow Task spends most of its time on (each is recorded with its stack by the SDK).
 */
class FallbackWatch {
  readonly #run: GenerationRun;
  readonly #onReady: () => void;
  #scope: CancellationScope | null = null;
  #looking: Promise<void> | null = null;
  #isReady = false;

  constructor(run: GenerationRun, onReady: () => void) {
    this.#run = run;
    this.#onReady = onReady;
    run.noBackend.listen(() => {
      this.#look();
    });
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Resolves when a look that was under way is cancelled; `null` when there is none. */
  close(): Promise<void> | null {
    this.#run.noBackend.listen(null);
    this.#scope?.cancel();
    return this.#looking;
  }

  #look(): void {
    if (this.#looking !== null) return;
    this.#scope = new CancellationScope();
    this.#looking = this.#scope
      .run(() => fallbackObstacle(this.#run))
      .then(
        (obstacle) => {
          this.#looking = null;
          this.#isReady = obstacle === null;
          if (obstacle === null) this.#onReady();
          else this.#goOnWaiting(obstacle);
        },
        () => undefined, // cancelled, because the claim is made
      );
  }

  #goOnWaiting(obstacle: string): void {
    this.#run.noBackend.forget();
    if (patched(OBSTACLE_IS_TOLD)) this.#run.noteNoFallback(obstacle);
  }
}

function noCapacity(message: string, facts: Readonly<Record<string, unknown>> = {}): ApplicationFailure {
  const type: FailureKind = 'NO_CAPACITY';
  return ApplicationFailure.create({ type, message, nonRetryable: true, details: [facts] });
}

/** What every backend said, and what fal.ai would need. */
async function explanationOf(run: GenerationRun): Promise<string> {
  const { pool } = run.input;
  const { falChoice, rendered, avoided: avoid } = run;
  const wanted = { graph: rendered.graph, vramGb: run.vramGb ?? null, avoid };
  try {
    if (falChoice?.provider !== 'comfyui') return await explainNoCapacity({ pool, wanted });
    const request = falRequestOf(falChoice);
    const obstacle = 'reason' in request ? request.reason : (run.progress.fallbackObstacle ?? null);
    return await explainNoCapacity({ pool, wanted, falObstacle: obstacle });
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('The reports of the backends could not be read', { error });
    return 'What the backends said could not be read: the object store does not answer.';
  }
}
