import { setTimeout as sleep } from 'node:timers/promises';
import { cancellationDetails, cancellationSignal, log } from '@temporalio/activity';
import type { AwaitFalInput, FalActivities, FalProgress, FalResult } from '../workflows/contracts/fal.js';
import { assertNever } from '../workflows/domain/assert-never.js';
import { Bell } from '../infra/runtime/bell.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import {
  FalError,
  FalHttpError,
  FalRequestFailedError,
  FalRequestGoneError,
  FalTimeoutError,
  FalUnreachableError,
  NoFalKeyError,
  NotFalError,
} from './fal/errors.js';
import type { FalStatus } from './fal/fal-answers.js';
import type { FalClient } from './fal/fal-client.js';
import { heartbeatWhile } from './heartbeat-while.js';

export interface AwaitFalDeps {
  /** `null`: no key is set. */
  readonly fal: FalClient | null;
  /** Pauses between two looks, milliseconds; default: 1 s that grows to 5 s. */
  readonly pauseMs?: { readonly first: number; readonly longest: number };
}

const PAUSE_MS = { first: 1_000, longest: 5_000 } as const;
const PAUSE_GROWTH = 1.3;
/** A request that was just taken may not be known everywhere yet, and so may a result. */
const ABSENT_LOOKS = 5;
const CANCEL_TRIES = 3;

export function createAwaitFal(deps: AwaitFalDeps): FalActivities['awaitFal'] {
  /**
   * Safe to retry: it only observes. It cancels the request when the Workflow is cancelled and when its time is over, not
   * when this worker stops: the next attempt watches the same request.
   */
  return async function awaitFal(input) {
    try {
      if (deps.fal === null) throw new NoFalKeyError();
      const watch = new FalWatch(deps.fal, input, deps.pauseMs ?? PAUSE_MS);
      return await heartbeatWhile(
        async () => watch.untilFinished(),
        () => watch.progress,
      );
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

/** One attempt at watching one request. */
class FalWatch {
  readonly #fal: FalClient;
  readonly #input: AwaitFalInput;
  readonly #signal = cancellationSignal();
  readonly #longestMs: number;
  #pauseMs: number;
  #absentLooks = 0;
  #lastTrouble = '';
  #progress: FalProgress;

  constructor(fal: FalClient, input: AwaitFalInput, pauseMs: NonNullable<AwaitFalDeps['pauseMs']>) {
    this.#fal = fal;
    this.#input = input;
    this.#pauseMs = pauseMs.first;
    this.#longestMs = pauseMs.longest;
    this.#progress = { requestId: input.requestId, phase: 'queued', queuePosition: null, lastLog: null };
  }

  get progress(): FalProgress {
    return this.#progress;
  }

  async untilFinished(): Promise<FalResult> {
    const pause = new Bell();
    try {
      for (;;) {
        this.#signal.throwIfAborted();
        const { result, waitMs } = await this.#look();
        if (result !== null) return result;
        const leftMs = this.#leftMs(); // after a look: what finished late is used
        if (leftMs <= 0) throw this.#timeout();
        await pause.wait(Math.min(waitMs ?? this.#nextPauseMs(), leftMs), this.#signal);
      }
    } catch (error) {
      const isAsked = cancellationDetails()?.cancelRequested === true;
      if (isAsked || error instanceof FalTimeoutError) await this.#cancel();
      throw error;
    }
  }

  /** One look, which also waits out what passes: the request is paid for and goes on at fal. */
  async #look(): Promise<{ readonly result: FalResult | null; readonly waitMs: number | null }> {
    try {
      const status = await this.#fal.status(this.#input, this.#signal);
      const result = await this.#resultOf(status);
      this.#absentLooks = 0;
      return { result, waitMs: null };
    } catch (error) {
      if (!(error instanceof FalError) || !this.#passes(error)) throw error;
      this.#lastTrouble = error.message;
      this.#progress = { ...this.#progress, phase: 'unreachable' };
      return { result: null, waitMs: error instanceof FalHttpError ? error.retryAfterMs : null };
    }
  }

  async #resultOf(status: FalStatus): Promise<FalResult | null> {
    const { requestId } = this.#input;
    switch (status.status) {
      case 'queued':
        this.#progress = { requestId, phase: 'queued', queuePosition: status.queuePosition, lastLog: null };
        return null;
      case 'running':
        this.#progress = { requestId, phase: 'running', queuePosition: null, lastLog: status.lastLog };
        return null;
      case 'completed': {
        const result = await this.#resultOrFailure(status);
        return { ...result, inferenceSeconds: result.inferenceSeconds ?? status.inferenceSeconds };
      }
      default:
        return assertNever(status);
    }
  }

  /** The result says more of a failure than the status does, if it says anything. */
  async #resultOrFailure({ failure }: FalStatus & { status: 'completed' }): Promise<FalResult> {
    try {
      return await this.#fal.result(this.#input, this.#signal);
    } catch (error) {
      if (failure === null || !(error instanceof FalHttpError || error instanceof FalRequestGoneError)) throw error;
      throw new FalRequestFailedError(this.#input.requestId, failure);
    }
  }

  /** False when waiting will not help. */
  #passes(error: FalError): boolean {
    if (error instanceof FalUnreachableError || error instanceof NotFalError) return true;
    if (error instanceof FalHttpError && error.isPassing) return true;
    // "Still in progress" of a result that is a moment behind its status, and a request that is not known everywhere.
    const isEarly = error instanceof FalRequestGoneError || (error instanceof FalHttpError && error.status === 400);
    this.#absentLooks += 1;
    return isEarly && this.#absentLooks <= ABSENT_LOOKS;
  }

  #leftMs(): number {
    return this.#input.submittedAtMs + this.#input.totalSeconds * 1_000 - Date.now();
  }

  #nextPauseMs(): number {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * PAUSE_GROWTH, this.#longestMs);
    return pauseMs;
  }

  #timeout(): FalTimeoutError {
    const { requestId, totalSeconds } = this.#input;
    const { phase, queuePosition } = this.#progress;
    const place = phase === 'queued' && queuePosition !== null ? `, at place ${queuePosition + 1}` : '';
    const why = phase === 'unreachable' ? `: ${this.#lastTrouble}` : place;
    return new FalTimeoutError(
      `Request ${requestId} on fal.ai took longer than its limit of ${totalSeconds} s; it was ${phase}${why}`,
    );
  }

  /** Without the signal, which is aborted. A cancellation that is not heard must not hide why the activity ends. */
  async #cancel(): Promise<void> {
    const { requestId } = this.#input;
    for (let attempt = 1; attempt <= CANCEL_TRIES; attempt += 1) {
      try {
        log.info('Cancelled on fal.ai', { requestId, outcome: await this.#fal.cancel(this.#input) });
        return;
      } catch (error) {
        log.warn('Could not cancel on fal.ai: the request may be run and paid for', { requestId, attempt, error });
        if (attempt < CANCEL_TRIES) await sleep(PAUSE_MS.first);
      }
    }
  }
}
