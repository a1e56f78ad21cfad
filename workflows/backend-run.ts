import { setCurrentDetails } from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/common';
import { tellBackend } from './backend-story.js';
import { BACKEND_HELD } from './contracts/backend.js';
import type {
  AcquireInput,
  AcquiredBackend,
  BackendHolder,
  BackendInput,
  BackendState,
  BackendSummary,
  GateAnswer,
} from './contracts/backend.js';
import { gateHoldsOf, gatePositionOf } from './domain/backend-gate.js';
import type { GateHold, GatePosition, GateWish } from './domain/backend-gate.js';
import { isHeldByAnother } from './domain/backend-holding.js';

/** What one run of the Workflow of a backend knows; `state` is replaced, never changed in place. */
export class BackendRun {
  readonly backendId: string;
  #state: BackendState;
  /** Grows with every acquisition: what belongs to an earlier one no longer counts. */
  #term = 0;

  constructor({ gateSet, ...input }: BackendInput) {
    const { backendId, gate, holder } = input;
    this.backendId = backendId;
    const stands = { gateSet: gateSet ?? gatePositionOf(gate), unheldSince: since(holder), gateAnswer: null };
    this.#state = { ...input, ...stands };
    this.#change({});
  }

  get state(): BackendState {
    return this.#state;
  }

  get holder(): BackendHolder | null {
    return this.#state.holder;
  }

  get term(): number {
    return this.#term;
  }

  get gatePosition(): GatePosition {
    return gatePositionOf(this.#state.gate);
  }

  get isGateOpen(): boolean {
    return this.gatePosition === 'open';
  }

  get isGateDue(): boolean {
    return this.gatePosition !== this.#state.gateSet;
  }

  get holds(): readonly GateHold[] {
    return gateHoldsOf(this.#state.gate);
  }

  /** The gate stands as it is to stand, but its worker does not know why. */
  get areHoldsDue(): boolean {
    return JSON.stringify(this.holds) !== JSON.stringify(this.#state.holdsSet ?? []);
  }

  /** Throws what the caller needs to say who is in its way, and to find out whether that one is still alive. */
  refuseSecondHolder({ holder, replaces }: AcquireInput): void {
    const current = this.holder;
    if (current === null || !isHeldByAnother(current.holderId, { holderId: holder.holderId, replaces })) return;
    const message = `Backend ${this.backendId} is held by process ${current.pid} on ${current.host} since ${current.since}`;
    throw ApplicationFailure.create({ type: BACKEND_HELD, message, details: [current], nonRetryable: true });
  }

  acquire({ holder }: AcquireInput): AcquiredBackend {
    this.#term += 1;
    const { gatePosition: gate, holds } = this;
    this.#change({ holder, gateSet: gate, holdsSet: holds, unheldSince: null, gateAnswer: null });
    return { gate, holds, canary: this.#state.summary?.canary ?? null };
  }

  /** The holder of that term is gone. */
  free(term: number): void {
    if (term === this.#term) this.#change({ holder: null, unheldSince: since(null) });
  }

  wish(change: Partial<GateWish>): void {
    this.#change({ gate: { ...this.#state.gate, ...change } });
  }

  noteGate(gateAnswer: GateAnswer, holdsSet: readonly GateHold[]): void {
    this.#change({ gateAnswer, gateSet: gateAnswer.position, holdsSet });
  }

  /** Who gives no reason does not take back the one that another has given. */
  quarantine(reason: string | null): void {
    this.wish({ quarantine: reason ?? this.#state.gate.quarantine ?? 'by an operator' });
  }

  /**
   * A ComfyUI that was found again had stopped answering before, and one whose history has lost what an earlier worker saw
   * there has restarted while no worker looked: either ends a quarantine. The first time that it is found is none, and may
   * be told after it has failed.
   */
  noteSummary(summary: BackendSummary): void {
    const { holder } = this;
    const before = this.#state.summary;
    if (summary.holderId !== holder?.holderId) return; // of a holder that has been replaced
    const knownBefore = before?.holderId === holder.holderId ? before.timesFound : 0;
    const wasFoundAgain = knownBefore > 0 && summary.timesFound > knownBefore;
    const hasLostItsHistory = summary.goneCanary != null && summary.goneCanary === before?.canary;
    this.#change({ summary });
    if (wasFoundAgain || hasLostItsHistory) this.wish({ quarantine: null });
  }

  /** What the next run of this Workflow begins with. */
  next(): BackendInput {
    const { unheldSince: _since, gateAnswer: _answer, ...kept } = this.#state;
    return kept;
  }

  #change(change: Partial<BackendState>): void {
    this.#state = { ...this.#state, ...change };
    setCurrentDetails(tellBackend(this.#state));
  }
}

function since(holder: BackendHolder | null): string | null {
  return holder === null ? new Date().toISOString() : null;
}
