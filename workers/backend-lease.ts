import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { BackendHold } from '../activities/backend-hold.js';
import type { GateSwitch } from '../activities/comfyui/gate-switch.js';
import type { HistoryCanary } from '../activities/comfyui/history-canary.js';
import type { AcquiredBackend, BackendHolder } from '../workflows/contracts/backend.js';
import type { Logger } from '../infra/runtime/logger.js';
import { acquireBackend } from './acquire-backend.js';
import { holderOfThisProcess } from './this-process.js';

export interface BackendLeaseOptions {
  readonly client: Client;
  readonly backendId: string;
  /** Silence of this process after which the id is free. */
  readonly silenceSeconds: number;
  readonly gate: GateSwitch;
  /** Gets what the worker before has left. */
  readonly canary: HistoryCanary;
  readonly logger: Logger;
  /** Aborted when the process is to stop. */
  readonly signal: AbortSignal;
  /** Called when another process turns out to be the holder: this one must not go on. */
  readonly onLost: (reason: unknown) => void;
}

const LOOK_MS = 1_000;
/** Between the end of one tending and the begin of the next; longer, and the Workflow does not know this holder. */
const UNTENDED_MS = 3_000;
const MAX_UNTENDED_MS = 60_000;

/**
 * The hold of this process on its backend id: acquired once, before anything is claimed, and asked for again whenever the
 * Workflow no longer tends it, because it was terminated, cancelled, reset, or Temporal was away for long. Generations
 * go on meanwhile.
 */
export class BackendLease implements BackendHold {
  readonly #options: BackendLeaseOptions;
  readonly #holder: BackendHolder;
  readonly #lost = new AbortController();
  readonly ending: AbortSignal;
  #tends = 0;
  #untendedSince = performance.now();
  #patienceMs = UNTENDED_MS;

  private constructor(options: BackendLeaseOptions) {
    this.#options = options;
    this.#holder = holderOfThisProcess(options.silenceSeconds);
    this.ending = AbortSignal.any([options.signal, this.#lost.signal]);
  }

  /** Resolves when this process holds the id and its gate stands as operators want it. */
  static async acquire(options: BackendLeaseOptions): Promise<BackendLease> {
    const lease = new BackendLease(options);
    const startedAt = performance.now();
    const { canary = null } = await lease.#acquire(() => undefined);
    options.canary.inherit(canary);
    const tookMs = Math.round(performance.now() - startedAt);
    options.logger.info({ backendId: options.backendId, tookMs }, 'Acquired the backend');
    return lease;
  }

  get holderId(): string {
    return this.#holder.holderId;
  }

  tended(): () => void {
    this.#tends += 1;
    this.#patienceMs = UNTENDED_MS;
    return () => {
      this.#tends -= 1;
      this.#untendedSince = performance.now();
    };
  }

  doubted(): void {
    this.#untendedSince = Number.NEGATIVE_INFINITY;
  }

  /** Keeps the id until the process stops or another one turns out to hold it. Never rejects. */
  async keep(): Promise<void> {
    while (!this.ending.aborted) {
      await sleep(LOOK_MS, undefined, { signal: this.ending }).catch(() => undefined);
      if (this.ending.aborted || !this.#isUntended()) continue;
      await this.#acquireAgain();
    }
  }

  #isUntended(): boolean {
    return this.#tends === 0 && performance.now() - this.#untendedSince > this.#patienceMs;
  }

  async #acquireAgain(): Promise<void> {
    const { backendId, logger, signal, onLost } = this.#options;
    logger.warn({ backendId }, 'The Workflow of this backend no longer knows its worker; acquiring the id again');
    // Somebody may pause or fail the activity again and again: each acquisition is events in its Workflow.
    this.#patienceMs = Math.min(MAX_UNTENDED_MS, this.#patienceMs * 2);
    try {
      // Whoever the Workflow takes for the holder works on this ComfyUI; two that claim for it are one too many.
      await this.#acquire(() => {
        this.#options.gate.set('closed');
      });
    } catch (error) {
      if (signal.aborted) return;
      this.#lost.abort();
      onLost(error);
    }
  }

  async #acquire(onHeld: () => void): Promise<AcquiredBackend> {
    const { gate } = this.#options;
    const acquired = await acquireBackend({ ...this.#options, holder: this.#holder, gate: gate.position, onHeld });
    gate.set(acquired.gate, acquired.holds);
    this.#untendedSince = performance.now();
    return acquired;
  }
}
