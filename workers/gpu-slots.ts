import { setTimeout as sleep } from 'node:timers/promises';
import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit, SlotReserveContext } from '@temporalio/worker';
import type { ComfyUIBackend } from '../activities/comfyui/comfyui-backend.js';
import { ComfyUIError } from '../activities/comfyui/errors.js';
import type { Logger } from '../infra/runtime/logger.js';

/** How often a gate that is shut looks at ComfyUI again: the most that a waiting claim loses. */
const LOOK_MS = 250;
/** A backend that does not answer is asked less often: at most two probes a second reach it. */
const LOOK_AT_SICK_MS = 1_000;
/** A claim whose submission never began here (the Workflow was cancelled, or its worker died) stops counting. */
const CLAIM_LIFE_MS = 15_000;

/**
 * The gate in front of one GPU: a permit to poll for a claim is given only while
 * `running + pending + claims not yet submitted < MAX_GPU_JOBS + PREFETCH` and the backend answers. ComfyUI's own queue
 * is the truth about the GPU: it survives crashes of workers and counts what others post. Waiting work stays in
 * Temporal's queue, ordered by priority.
 */
export class GpuSlots implements CustomSlotSupplier<ActivitySlotInfo> {
  readonly type = 'custom';
  readonly #backend: ComfyUIBackend;
  readonly #capacity: number;
  readonly #logger: Logger;
  /** Permits that were given and not given back: the poll that is open, and claims that are being made. */
  #permits = 0;
  /** Claims between their answer and the prompt's place in ComfyUI's queue, with the time when they stop counting. */
  readonly #claims = new Map<string, { readonly endsAt: number }>();

  constructor(options: { readonly backend: ComfyUIBackend; readonly capacity: number; readonly logger: Logger }) {
    this.#backend = options.backend;
    this.#capacity = options.capacity;
    this.#logger = options.logger;
  }

  async reserveSlot(_context: SlotReserveContext, abortSignal: AbortSignal): Promise<SlotPermit> {
    for (;;) {
      abortSignal.throwIfAborted();
      const look = await this.#look();
      if (look === 'free') return {};
      await this.#pause(look === 'sick' ? LOOK_AT_SICK_MS : LOOK_MS, abortSignal);
    }
  }

  /** Eager tasks come from Workflow Tasks of the same worker, and this one has none. */
  tryReserveSlot(): SlotPermit | null {
    return null;
  }

  markSlotUsed(): void {
    // The permit counts from the moment it is given.
  }

  releaseSlot(): void {
    this.#permits -= 1;
  }

  /** A claim was made here; its submission is expected on this worker. */
  claimed(generationId: string): void {
    this.#claims.set(generationId, { endsAt: Date.now() + CLAIM_LIFE_MS });
  }

  /**
   * The submission has begun: it counts for as long as it takes. To be called when it is over, the prompt being in
   * ComfyUI's queue or not; an attempt that was left behind does not end the claim of the one that follows it.
   */
  submitting(generationId: string): () => void {
    const claim = { endsAt: Number.POSITIVE_INFINITY };
    this.#claims.set(generationId, claim);
    return () => {
      if (this.#claims.get(generationId) === claim) this.#claims.delete(generationId);
    };
  }

  /** Takes a permit when there is one: `free` means it is taken. */
  async #look(): Promise<'free' | 'busy' | 'sick'> {
    try {
      // A claim that is settled while ComfyUI answers may be missing in both counts, so the larger one counts.
      const claimsBefore = this.#liveClaims();
      const inComfyQueue = await this.#backend.use(async (client) => client.queueRemaining());
      const claims = Math.max(claimsBefore, this.#liveClaims());
      if (inComfyQueue + this.#permits + claims >= this.#capacity) return 'busy';
      this.#permits += 1; // before anything is awaited: another look may be under way
      return 'free';
    } catch (error) {
      // The SDK swallows what a slot supplier throws, so nothing may leave here unsaid.
      if (!(error instanceof ComfyUIError)) this.#logger.error({ err: error }, 'The gate of a GPU could not look');
      return 'sick';
    }
  }

  #liveClaims(): number {
    const now = Date.now();
    for (const [generationId, { endsAt }] of this.#claims) {
      if (endsAt < now) this.#claims.delete(generationId);
    }
    return this.#claims.size;
  }

  async #pause(ms: number, abortSignal: AbortSignal): Promise<void> {
    try {
      await sleep(ms, undefined, { signal: abortSignal });
    } catch {
      abortSignal.throwIfAborted(); // the SDK wants its own reason back
    }
  }
}
