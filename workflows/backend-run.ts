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
import { gatePositionOf } from './domain/backend-gate.js';
import type { GatePosition, GateWish } from './domain/backend-gate.js';
import { isHeldByAnother } from './domain/backend-holding.js';

/** What one run of the Workflow of a backend knows; `state` is replaced, never changed in place. */
export class BackendRun {
  readonly backendId: string;
  #state: BackendState;
  /** Grows with every acquisition: what belongs to an earlier one no longer counts. */
  #term = 0;

  constructor({ backendId, gate, gateSet = gatePositionOf(gate), holder, summary }: BackendInput) {
    this.backendId = backendId;
    this.#state = { backendId, gate, gateSet, holder, unheldSince: since(holder), summary, gateAnswer: null };
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

  /** Throws what the caller needs to say who is in its way, and to find out whether that one is still alive. */
  refuseSecondHolder({ holder, replaces }: AcquireInput): void {
    const current = this.holder;
    if (current === null || !isHeldByAnother(current.holderId, { holderId: holder.holderId, replaces })) return;
    const message = `Backend ${this.backendId} is held by process ${current.pid} on ${current.host} since ${current.since}`;
    throw ApplicationFailure.create({ type: BACKEND_HELD, message, details: [current], nonRetryable: true });
  }

  acquire({ holder }: AcquireInput): AcquiredBackend {
    this.#term += 1;
    const gate = this.gatePosition;
    this.#change({ holder, gateSet: gate, unheldSince: null, gateAnswer: null });
    return { gate };
  }

  /** The holder of that term is gone. */
  free(term: number): void {
    if (term === this.#term) this.#change({ holder: null, unheldSince: since(null) });
  }

  wish(change: Partial<GateWish>): void {
    this.#change({ gate: { ...this.#state.gate, ...change } });
  }

  noteGate(gateAnswer: GateAnswer): void {
    this.#change({ gateAnswer, gateSet: gateAnswer.position });
  }

  /**
   * A ComfyUI that was found again had stopped answering before: its restart ends a quarantine. The first time that it is
   * found is none, and may be told after it has failed.
   */
  noteSummary(summary: BackendSummary): void {
    const { holder } = this;
    const before = this.#state.summary;
    if (summary.holderId !== holder?.holderId) return; // of a holder that has been replaced
    const knownBefore = before?.holderId === holder.holderId ? before.timesFound : 0;
    const hasRestarted = knownBefore > 0 && summary.timesFound > knownBefore;
    this.#change({ summary });
    if (hasRestarted) this.wish({ quarantine: null });
  }

  /** What the next run of this Workflow begins with. */
  next(): BackendInput {
    const { backendId, gate, gateSet, holder, summary } = this.#state;
    return { backendId, gate, gateSet, holder, summary };
  }

  #change(change: Partial<BackendState>): void {
    this.#state = { ...this.#state, ...change };
    setCurrentDetails(tellBackend(this.#state));
  }
}

function since(holder: BackendHolder | null): string | null {
  return holder === null ? new Date().toISOString() : null;
}
