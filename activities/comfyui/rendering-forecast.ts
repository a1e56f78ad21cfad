import type { ApiGraph } from '../../workflows/domain/graph.js';
import { renderingKindOf } from './rendering-kind.js';
import type { RenderingKind } from './rendering-kind.js';
import type { RenderingProgress } from './rendering-progress.js';

/** One prompt of ours, from its submission until nobody here watches it any more. */
interface ExpectedRendering {
  /** `null` for a prompt that an earlier worker submitted. */
  readonly kind: RenderingKind | null;
  readonly submittedAtMs: number;
  readonly isWatched: boolean;
  readonly startedAtMs: number | null;
  readonly sampling: Sampling | null;
  readonly isStopped: boolean;
}

/** Steps of the node that samples now, since it was first seen. */
interface Sampling {
  readonly nodeId: string;
  readonly fromStep: number;
  readonly fromMs: number;
  readonly step: number;
  readonly atMs: number;
  readonly steps: number;
  /** Samplers that have not begun: how long they take nobody knows yet. */
  readonly samplersToCome: number;
}

/** The middle of the last few: one that loaded its model, or came from the cache, says nothing about the next. */
const KEPT_DURATIONS = 5;
const KEPT_KINDS = 500;
/** A submission whose prompt nobody has come to watch by then belongs to a Workflow that ended. */
const UNWATCHED_MS = 30_000;

/**
 * How much work lies before the next prompt of this ComfyUI: by the steps of what renders, as its watcher sees them, and
 * by how long graphs of the same kind took here before. What nothing is known of is never guessed.
 */
export class RenderingForecast {
  readonly #now: () => number;
  readonly #renderings = new Map<string, ExpectedRendering>();
  readonly #durations = new Map<string, readonly number[]>();

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** A prompt is in ComfyUI's queue. */
  submitted(promptId: string, graph: ApiGraph): void {
    const known = this.#renderings.get(promptId);
    this.#renderings.set(promptId, { ...this.#unknown(), ...known, kind: renderingKindOf(graph) });
  }

  /** Somebody watches the prompt; `startedAtMs` is when rendering began, `null` before that. */
  observed(promptId: string, startedAtMs: number | null, progress: RenderingProgress | null): void {
    const before = this.#renderings.get(promptId) ?? this.#unknown();
    const sampling = progress === null ? before.sampling : this.#samplingOf(before, progress);
    this.#renderings.set(promptId, { ...before, isWatched: true, startedAtMs, sampling });
  }

  /** ComfyUI is being told to stop it. */
  stopped(promptId: string): void {
    const rendering = this.#renderings.get(promptId);
    if (rendering !== undefined) this.#renderings.set(promptId, { ...rendering, isStopped: true });
  }

  isStopped(promptId: string): boolean {
    return this.#renderings.get(promptId)?.isStopped === true;
  }

  /** The prompt is over, or is no longer watched from here. */
  ended(promptId: string, { hasSucceeded }: { readonly hasSucceeded: boolean }): void {
    const rendering = this.#renderings.get(promptId);
    this.#renderings.delete(promptId);
    if (!hasSucceeded || rendering?.kind === undefined || rendering.kind === null) return;
    // One that was too quick to be seen rendering took less than the time since its submission.
    this.#learn(rendering.kind.id, this.#now() - (rendering.startedAtMs ?? rendering.submittedAtMs));
  }

  /** True when another prompt of ours renders there now. */
  isAnotherRunning(promptId: string): boolean {
    return [...this.#renderings].some(
      ([id, { isWatched, startedAtMs }]) => id !== promptId && isWatched && startedAtMs !== null,
    );
  }

  /** Milliseconds until ComfyUI is through with the `count` prompts in its queue; `null` when nobody can say. */
  aheadMs(count: number): number | null {
    this.#dropUnwatched();
    if (this.#renderings.size < count) return null; // somebody else's are among them
    let sum = 0;
    for (const rendering of this.#renderings.values()) {
      const remaining = this.#remainingMs(rendering);
      if (remaining === null) return null;
      sum += remaining;
    }
    return sum;
  }

  #remainingMs(rendering: ExpectedRendering): number | null {
    const bySteps = this.#bySteps(rendering.sampling);
    const byKind = this.#byKind(rendering);
    if (bySteps === null || byKind === null) return bySteps ?? byKind;
    return Math.max(bySteps, byKind);
  }

  #bySteps(sampling: Sampling | null): number | null {
    if (sampling === null || sampling.samplersToCome > 0) return null;
    const { fromStep, fromMs, step, atMs, steps } = sampling;
    if (step <= fromStep) return null;
    const remaining = ((atMs - fromMs) / (step - fromStep)) * (steps - step);
    return Math.max(0, remaining - (this.#now() - atMs));
  }

  /** `null` also when it has taken longer already than its kind did: then this one is different. */
  #byKind({ kind, startedAtMs }: ExpectedRendering): number | null {
    const durations = kind === null ? undefined : this.#durations.get(kind.id);
    if (durations === undefined) return null;
    const expected = [...durations].sort((one, other) => one - other)[Math.floor(durations.length / 2)] ?? 0;
    const remaining = expected - (startedAtMs === null ? 0 : this.#now() - startedAtMs);
    return remaining < 0 ? null : remaining;
  }

  #samplingOf(before: ExpectedRendering, progress: RenderingProgress): Sampling | null {
    const { nodeId, step, steps, finishedNodes } = progress;
    if (nodeId === null || step === null || steps === null || steps < 2) return null;
    const known = before.sampling?.nodeId === nodeId ? before.sampling : null;
    const atMs = known?.step === step ? known.atMs : this.#now();
    const { fromStep, fromMs } = known ?? { fromStep: step, fromMs: atMs };
    const toCome = (before.kind?.samplerIds ?? []).filter((id) => id !== nodeId && !finishedNodes.has(id));
    return { nodeId, fromStep, fromMs, step, atMs, steps, samplersToCome: toCome.length };
  }

  #learn(kindId: string, durationMs: number): void {
    const durations = [...(this.#durations.get(kindId) ?? []), durationMs].slice(-KEPT_DURATIONS);
    this.#durations.delete(kindId); // the kind that was last used moves to the end
    this.#durations.set(kindId, durations);
    const [oldest] = this.#durations.keys();
    if (this.#durations.size > KEPT_KINDS && oldest !== undefined) this.#durations.delete(oldest);
  }

  #dropUnwatched(): void {
    const oldest = this.#now() - UNWATCHED_MS;
    for (const [promptId, { isWatched, submittedAtMs }] of this.#renderings) {
      if (!isWatched && submittedAtMs < oldest) this.#renderings.delete(promptId);
    }
  }

  #unknown(): ExpectedRendering {
    return {
      ...{ kind: null, submittedAtMs: this.#now(), startedAtMs: null, sampling: null },
      ...{ isWatched: false, isStopped: false },
    };
  }
}
