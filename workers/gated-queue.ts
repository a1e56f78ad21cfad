import type {
  ActivitySlotInfo,
  CustomSlotSupplier,
  SlotPermit,
  SlotReleaseContext,
  SlotReserveContext,
} from '@temporalio/worker';
import { untilAborted } from '../activities/until-aborted.js';

/** What lets claims through to one GPU, whichever queue they come from. */
export interface Gate {
  /** Resolves when a claim may come; it counts from then on. */
  reserve(abortSignal: AbortSignal): Promise<void>;
  /** Counts one that is coming although nobody reserved it. */
  take(): void;
  /** One that was reserved or taken counts no more. */
  release(): void;
  /** True when there is room for a claim that was taken. */
  admits(): Promise<boolean>;
}

export interface GatedQueueOptions {
  readonly taskQueue: string;
  readonly gate: Gate;
  /** Called before each poll, which it may prevent by retiring this queue. */
  readonly onPoll: (queue: GatedQueue) => Promise<void>;
  /** Called when a task has come although the queue is retired. */
  readonly onLateTask: (queue: GatedQueue) => void;
  /** Called when the queue is retired and no poll of it is open any more. */
  readonly onDrained: (queue: GatedQueue) => void;
}

/**
 * The polls of one backend on one gated queue, as the SDK's slot supplier. States: retired (as it begins: no poll is
 * opened), active (its polls count at the gate). A poll that is open when the queue is retired is left to end by itself,
 * within a minute: the server may be handing it a task at this very moment, and one that is cut off would take the task
 * with it until its heartbeat is missed.
 */
export class GatedQueue implements CustomSlotSupplier<ActivitySlotInfo> {
  readonly type = 'custom';
  readonly taskQueue: string;
  readonly #options: GatedQueueOptions;
  #isActive = false;
  /** Polls that are open or about to be. They count at the gate while the queue is active. */
  #polling = 0;
  /** Claims that are being made. They count at the gate. */
  #claiming = 0;
  /** Since when a poll waits without having brought a claim. */
  #idleSinceMs: number | null = null;
  /** Ends every wait when the queue is retired or activated. */
  #turn = new AbortController();

  constructor(options: GatedQueueOptions) {
    this.#options = options;
    this.taskQueue = options.taskQueue;
  }

  get isActive(): boolean {
    return this.#isActive;
  }

  /** A poll waits for a task and no claim is being made. */
  get isIdle(): boolean {
    return this.#polling > 0 && this.#claiming === 0;
  }

  /** How long it polls without a claim; 0 while it need not find any. */
  get idleMs(): number {
    return this.#idleSinceMs === null || !this.isIdle ? 0 : performance.now() - this.#idleSinceMs;
  }

  activate(): void {
    if (this.#isActive) return;
    this.#isActive = true;
    this.#idleSinceMs = this.#polling > 0 ? performance.now() : null;
    for (let count = 0; count < this.#polling; count += 1) this.#options.gate.take();
    this.#turnOver();
  }

  retire(): void {
    if (!this.#isActive) return;
    this.#isActive = false;
    for (let count = 0; count < this.#polling; count += 1) this.#options.gate.release();
    this.#turnOver();
    this.#sayIfDrained();
  }

  /** Its Worker has ended: what the SDK has not given back counts no more. */
  ended(): void {
    const held = this.#claiming + (this.#isActive ? this.#polling : 0);
    for (let count = 0; count < held; count += 1) this.#options.gate.release();
    [this.#polling, this.#claiming, this.#isActive] = [0, 0, false];
  }

  /** A claim has been made: the queue has work. */
  claimed(): void {
    this.#idleSinceMs = null;
  }

  /** Why a task that has come must go back, `null` when it may claim. */
  async refusal(): Promise<string | null> {
    if (this.#isActive || (await this.#options.gate.admits())) return null;
    return `This backend has no free place and turned away from ${this.taskQueue}`;
  }

  async reserveSlot(_context: SlotReserveContext, abortSignal: AbortSignal): Promise<SlotPermit> {
    for (;;) {
      const turn = AbortSignal.any([abortSignal, this.#turn.signal]);
      if (await this.#isReserved(turn, abortSignal)) {
        this.#polling += 1;
        this.#idleSinceMs ??= performance.now();
        return {};
      }
    }
  }

  /** Eager tasks come from Workflow Tasks of the same worker, and this one has none. */
  tryReserveSlot(): SlotPermit | null {
    return null;
  }

  markSlotUsed(): void {
    this.#polling -= 1;
    this.#claiming += 1;
    if (this.#isActive) return;
    this.#options.gate.take();
    this.#options.onLateTask(this);
  }

  releaseSlot({ slotInfo }: Pick<SlotReleaseContext<ActivitySlotInfo>, 'slotInfo'>): void {
    const wasUsed = slotInfo !== undefined;
    if (wasUsed) this.#claiming -= 1;
    else this.#polling -= 1;
    if (wasUsed || this.#isActive) this.#options.gate.release();
    this.#sayIfDrained();
  }

  /** False when it is not this queue's turn any more; throws the reason of `abortSignal`, which the SDK wants back. */
  async #isReserved(turn: AbortSignal, abortSignal: AbortSignal): Promise<boolean> {
    const { gate, onPoll } = this.#options;
    try {
      if (!this.#isActive) await untilAborted(turn, new Promise<never>(() => undefined));
      const beganAtMs = performance.now();
      await gate.reserve(turn);
      // It has waited for a place: until then there was no work to be found.
      if (performance.now() - beganAtMs > WAITED_MS) this.#idleSinceMs = null;
    } catch (error) {
      abortSignal.throwIfAborted();
      if (turn.aborted) return false;
      throw error;
    }
    await onPoll(this);
    if (this.#isActive && !abortSignal.aborted) return true;
    gate.release();
    abortSignal.throwIfAborted();
    return false;
  }

  #turnOver(): void {
    const turn = this.#turn;
    this.#turn = new AbortController();
    turn.abort(TURN_OVER);
  }

  #sayIfDrained(): void {
    if (!this.#isActive && this.#polling === 0 && this.#claiming === 0) this.#options.onDrained(this);
  }
}

/** A look at a ComfyUI that has room takes a few milliseconds. */
const WAITED_MS = 200;
/** A reason of our own: the default one is an error with a stack. */
const TURN_OVER = 'the turn of the queue is over';
