import type { RenderingProgress } from './rendering-progress.js';

/** What to do about a rendering that does not move. */
export type StallAdvice = 'wait' | 'probe' | 'stalled';

/** After the probe: this long the fresh connection may stay without movement while it delivers frames. */
const PROBE_SECONDS = 60;

/**
 * Tells a stalled rendering from a silent websocket. One client that stops reading freezes the events of all (ComfyUI's
 * publish loop), so silence proves nothing: only a fresh connection that delivers frames while node and step stand still
 * does. If it stays silent too, the rendering limit alone counts. Times are milliseconds of one monotonic clock.
 */
export class StallWatch {
  readonly #stallMs: number;
  #position = '';
  #movedAtMs: number;
  #probedAtMs: number | null = null;

  constructor(stallSeconds: number, nowMs: number) {
    this.#stallMs = stallSeconds * 1_000;
    this.#movedAtMs = nowMs;
  }

  /** To be asked regularly while the prompt runs; `probe` is answered once for each standstill. */
  advise(progress: RenderingProgress, framesSinceProbe: number, nowMs: number): StallAdvice {
    const position = `${progress.nodeId ?? ''}/${progress.step ?? ''}/${progress.finishedNodes.size}`;
    if (position !== this.#position) {
      this.#position = position;
      this.restart(nowMs);
      return 'wait';
    }
    if (this.#probedAtMs === null) {
      if (nowMs - this.#movedAtMs < this.#stallMs) return 'wait';
      this.#probedAtMs = nowMs;
      return 'probe';
    }
    if (nowMs - this.#probedAtMs < PROBE_SECONDS * 1_000) return 'wait';
    if (framesSinceProbe > 0) return 'stalled';
    this.restart(nowMs);
    return 'wait';
  }

  /** Forgets the standstill: the prompt only waits, or the server was away. */
  restart(nowMs: number): void {
    this.#movedAtMs = nowMs;
    this.#probedAtMs = null;
  }
}
