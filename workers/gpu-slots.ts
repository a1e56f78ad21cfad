import { setTimeout as sleep } from 'node:timers/promises';
import type { ComfyUIBackend } from '../activities/comfyui/comfyui-backend.js';
import { ComfyUIError } from '../activities/comfyui/errors.js';
import type { GateSwitch } from '../activities/comfyui/gate-switch.js';
import { QueueWatch } from '../activities/comfyui/queue-watch.js';
import type { Logger } from '../infra/runtime/logger.js';
import type { Gate } from './gated-queue.js';
import { OpenClaims } from './open-claims.js';
import type { Surroundings } from './surroundings.js';

/** How often a gate that is shut looks at ComfyUI again when no event wakes it: the most that a waiting claim loses. */
const LOOK_MS = 250;
/** A backend that does not answer is asked less often: at most two probes a second reach it. */
const LOOK_AT_SICK_MS = 1_000;
/** The next prompt is bound to this GPU only when that will be free so soon: another may be free earlier. */
const PREFETCH_AHEAD_MS = 3_000;

/**
 * What ComfyUI told of its queue stands so long without being asked for: an event may be lost on a connection that is only
 * half open. 16 busy GPUs that are asked at every look are 64 requests a second.
 */
const TOLD_STANDS_MS = 2_000;

/** A reason of our own: the default one is an error with a stack, made at every event of the queue. */
const WOKEN = 'woken';

export interface GpuSlotsOptions {
  readonly backend: ComfyUIBackend;
  readonly gate: GateSwitch;
  readonly surroundings: Pick<Surroundings, 'fault'>;
  readonly maxGpuJobs: number;
  /** Prompts that may wait in ComfyUI's own queue besides; 0: none. */
  readonly prefetch: number;
  /** Hears what ComfyUI tells of its queue; `null` when nothing can be told. */
  readonly onQueue?: (remaining: number | null) => void;
  readonly logger: Logger;
}

/**
 * The gate in front of one GPU: a permit to poll for a claim is given only while
 * `running + pending + claims not yet submitted < MAX_GPU_JOBS + PREFETCH`, the backend, the spool and the object store
 * answer, and no operator has shut it. ComfyUI's own queue is the truth about the GPU: it survives crashes of workers and
 * counts what others post. Waiting work stays in Temporal's queue, ordered by priority.
 */
export class GpuSlots implements Gate {
  readonly #options: GpuSlotsOptions;
  readonly #claims = new OpenClaims(() => {
    this.#wake();
  });
  readonly #queueWatch: QueueWatch;
  /** Permits that were given and not given back: the poll that is open, and claims that are being made. */
  #permits = 0;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  /** Ends every pause at once. */
  #alarm = new AbortController();

  constructor(options: GpuSlotsOptions) {
    this.#options = options;
    options.gate.onChange(() => {
      this.#wake();
    });
    this.#queueWatch = new QueueWatch(
      options.backend,
      () => {
        this.#wake();
      },
      options.onQueue,
    );
  }

  async reserve(abortSignal: AbortSignal): Promise<void> {
    let isWoken = false;
    for (;;) {
      abortSignal.throwIfAborted();
      const alarm = this.#alarm.signal; // what happens during the look must not be slept through
      const look = await this.#look(isWoken);
      if (look === 'free') return;
      isWoken = await this.#pause(look === 'sick' ? LOOK_AT_SICK_MS : LOOK_MS, abortSignal, alarm);
    }
  }

  take(): void {
    this.#permits += 1;
  }

  release(): void {
    this.#permits -= 1;
    this.#wake();
  }

  async admits(): Promise<boolean> {
    try {
      const inComfyQueue = await this.#options.backend.use(async (client) => client.queueRemaining());
      return this.#hasRoom(inComfyQueue, this.#claims.count() + this.#permits - 1);
    } catch (error) {
      if (error instanceof ComfyUIError) return false;
      throw error;
    }
  }

  /** Why a claim that came through on an older look is refused; `null` when it may be made. */
  refusal(inComfyQueue: number): string | null {
    const { gate, backend } = this.#options;
    if (gate.position !== 'open') return `The gate of backend ${backend.backendId} is ${gate.position}`;
    if (inComfyQueue < this.capacity) return null;
    return `ComfyUI has ${inComfyQueue} prompts of others in its queue`;
  }

  /** Prompts of everybody that ComfyUI may have in its queue before one more is posted. */
  get capacity(): number {
    return this.#options.maxGpuJobs + this.#options.prefetch;
  }

  /** A claim was made here; its submission is expected on this worker. */
  claimed(generationId: string): void {
    this.#claims.claimed(generationId);
  }

  /** A run is over and its result is being looked at; to be called when it is known. */
  ending(generationId: string): () => void {
    return this.#claims.ending(generationId);
  }

  /** The generation failed here and may be tried again here: its place is kept for some seconds. */
  keep(generationId: string): void {
    this.#claims.kept(generationId);
  }

  /** The generation whose place was kept could not claim again: nobody waits for it. */
  drop(generationId: string): void {
    this.#claims.dropped(generationId);
  }

  /** The submission has begun; to be called when it is over, the prompt being in ComfyUI's queue or not. */
  submitting(generationId: string): () => void {
    return this.#claims.submitting(generationId);
  }

  close(): void {
    this.#queueWatch.close();
  }

  /** Takes a permit when there is one: `free` means it is taken. ComfyUI is asked unless it is known what it would say. */
  async #look(isWoken: boolean): Promise<'free' | 'busy' | 'sick'> {
    const { backend, surroundings, logger } = this.#options;
    try {
      if ((await surroundings.fault()) !== null) return 'sick';
      const isTold = isWoken || performance.now() - this.#askedAtMs < TOLD_STANDS_MS;
      if (this.#isFull(isTold ? (this.#queueWatch.remaining ?? 0) : 0)) return 'busy';
      this.#askedAtMs = performance.now();
      // A claim that is settled while ComfyUI answers may be missing in both counts, so the larger one counts.
      const claimsBefore = this.#claims.count();
      const inComfyQueue = await backend.use(async (client) => client.queueRemaining());
      const claims = Math.max(claimsBefore, this.#claims.count());
      if (!this.#hasRoom(inComfyQueue, claims + this.#permits)) return 'busy';
      this.#permits += 1; // before anything is awaited: another look may be under way
      return 'free';
    } catch (error) {
      // The SDK swallows what a slot supplier throws, so nothing may leave here unsaid.
      if (!(error instanceof ComfyUIError)) logger.error({ err: error }, 'The gate of a GPU could not look');
      return 'sick';
    }
  }

  /**
   * What was promised here leaves no room beside what ComfyUI last told: most looks end here. A gate that is shut goes on
   * and asks: only who asks sees that ComfyUI was away, which ends a quarantine.
   */
  #isFull(inComfyQueue: number): boolean {
    return this.#options.gate.position === 'open' && !this.#hasRoom(inComfyQueue, this.#claims.count() + this.#permits);
  }

  #hasRoom(inComfyQueue: number, coming: number): boolean {
    const { backend, gate, maxGpuJobs } = this.#options;
    if (gate.position !== 'open') return false; // it was shut while ComfyUI answered
    if (inComfyQueue + coming < maxGpuJobs) return true;
    if (inComfyQueue + coming >= this.capacity) return false;
    // How long the ones that are still coming will render nobody knows.
    const aheadMs = coming === 0 ? backend.forecast.aheadMs(inComfyQueue) : null;
    return aheadMs !== null && aheadMs < PREFETCH_AHEAD_MS;
  }

  #wake(): void {
    this.#alarm.abort(WOKEN);
    this.#alarm = new AbortController();
  }

  /** True when something happened before the time was over. */
  async #pause(ms: number, ...[abortSignal, alarm]: [AbortSignal, AbortSignal]): Promise<boolean> {
    try {
      await sleep(ms, undefined, { signal: AbortSignal.any([abortSignal, alarm]) });
      return false;
    } catch {
      abortSignal.throwIfAborted(); // the SDK wants its own reason back
      return true;
    }
  }
}
