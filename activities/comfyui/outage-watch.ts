import type { ComfyUIError } from './errors.js';
import {
  BackendCrashedError,
  ComfyUIHttpError,
  ComfyUIUnreachableError,
  NoComfyUIError,
  PromptLostError,
} from './errors.js';
import type { PromptState } from './prompt-state.js';

/** R2.5: pauses before a prompt that is neither in the queue nor in the history is looked for again, milliseconds. */
const ABSENT_LOOKS_MS: readonly number[] = [2_000, 4_000, 8_000, 10_000, 10_000];
/** A connection that is refused answers at once; asking more often than this would only fill the log. */
const OUTAGE_PAUSE_MS = 1_000;

/**
 * Judges a backend that does not answer, and a prompt that is not there. A backend that refuses connections is waited
 * for; one that is merely silent may have a blocked event loop while the rendering goes on, so only the rendering limit
 * ends that. A prompt that is absent after the server was away was lost in a crash; one that is absent on a server that
 * never went away was deleted, and is looked for five times first.
 */
export class OutageWatch {
  readonly #promptId: string;
  readonly #returnMs: number;
  #refusedSinceMs: number | null = null;
  #wasAway = false;
  #absentLooks = 0;

  constructor(promptId: string, returnSeconds: number) {
    this.#promptId = promptId;
    this.#returnMs = returnSeconds * 1_000;
  }

  /** An answer came: the backend is there. */
  answered(status: PromptState['status']): void {
    this.#refusedSinceMs = null;
    if (status === 'absent') return;
    this.#absentLooks = 0;
    this.#wasAway = false; // it still knows the prompt, so it was the connection that was away, not the server
  }

  /** The websocket broke: a server that restarts faster than anybody looks shows itself in no other way. */
  disconnected(): void {
    this.#wasAway = true;
  }

  /** No answer. Throws `BackendCrashedError` when it has refused connections for too long. */
  failed(error: ComfyUIError, nowMs: number): void {
    if (!isRefusal(error)) return;
    this.#wasAway = true;
    this.#refusedSinceMs ??= nowMs;
    if (nowMs - this.#refusedSinceMs < this.#returnMs) return;
    throw new BackendCrashedError(`ComfyUI has been away for ${this.#returnMs / 1_000} s: ${error.message}`, {
      cause: error,
    });
  }

  /** The server has forgotten what it had finished before: it has restarted, though nothing of that was seen. */
  hasForgotten(): void {
    this.#wasAway = true;
  }

  /** The prompt is in neither queue nor history. Throws `BackendCrashedError` or, after the last look, `PromptLostError`. */
  absent(): void {
    if (this.#wasAway) throw new BackendCrashedError(`ComfyUI restarted and no longer knows prompt ${this.#promptId}`);
    this.#absentLooks += 1;
    if (this.#absentLooks > ABSENT_LOOKS_MS.length) throw new PromptLostError(this.#promptId);
  }

  /** Pause before the next look, milliseconds. */
  pauseMs(normalMs: number): number {
    if (this.#refusedSinceMs !== null) return OUTAGE_PAUSE_MS;
    return ABSENT_LOOKS_MS[this.#absentLooks - 1] ?? normalMs;
  }
}

function isRefusal(error: ComfyUIError): boolean {
  if (error instanceof NoComfyUIError) return true;
  if (error instanceof ComfyUIHttpError) return error.isOfGateway;
  return error instanceof ComfyUIUnreachableError && error.reachability === 'refused';
}
