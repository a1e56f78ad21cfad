import { activityInfo } from '@temporalio/activity';
import type { GpuUsageFigures } from '../workflows/contracts/backend-report.js';
import type { BackendActivities, ClaimActivities } from '../workflows/contracts/activities.js';

/** A time during which nothing ran or waited in ComfyUI's queue. */
interface IdleTime {
  readonly fromMs: number;
  untilMs: number | null;
  /** What was lost of it is counted once, for the generation that ended it. */
  isCounted: boolean;
}

/**
 * How a GPU spends its time, since this process began: from what ComfyUI tells of its queue. A time in which nobody knows
 * (it is away, or the websocket is) is neither busy nor idle.
 */
export class GpuUsage {
  readonly #now: () => number;
  readonly #scheduledAtMs = new Map<string, number>();
  #busyMs = 0;
  #busySinceMs: number | null = null;
  #idle: IdleTime | null = null;
  #idleWhileWaitingMs = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** What ComfyUI has told last: prompts that run or wait; `null` when it can be told no more. */
  noteQueue(remaining: number | null): void {
    const nowMs = this.#now();
    const isBusy = remaining !== null && remaining > 0;
    if (this.#busySinceMs !== null && !isBusy) this.#busyMs += nowMs - this.#busySinceMs;
    this.#busySinceMs = isBusy ? (this.#busySinceMs ?? nowMs) : null;
    if (remaining === 0) {
      if (this.#idle?.untilMs !== null) this.#idle = { fromMs: nowMs, untilMs: null, isCounted: false };
    } else if (remaining === null) this.#idle = null;
    else if (this.#idle !== null) this.#idle.untilMs ??= nowMs;
  }

  /** An idle time that was wanted is not lost: from now on the GPU could take work. */
  noteOpened(): void {
    if (this.#idle?.untilMs === null) this.#idle = { fromMs: this.#now(), untilMs: null, isCounted: false };
  }

  /** A generation was claimed that had been waiting in Temporal's queue since then. */
  claimed(generationId: string, scheduledAtMs: number): void {
    this.#scheduledAtMs.set(generationId, scheduledAtMs);
  }

  /** Its submission is over, with a prompt in the queue or without. */
  submitted(generationId: string, isQueued: boolean): void {
    const scheduledAtMs = this.#scheduledAtMs.get(generationId);
    this.#scheduledAtMs.delete(generationId);
    const idle = this.#idle;
    if (!isQueued || scheduledAtMs === undefined || idle === null || idle.isCounted) return;
    idle.isCounted = true;
    this.#idleWhileWaitingMs += Math.max(0, (idle.untilMs ?? this.#now()) - Math.max(idle.fromMs, scheduledAtMs));
  }

  figures(): GpuUsageFigures {
    const runningMs = this.#busySinceMs === null ? 0 : this.#now() - this.#busySinceMs;
    return {
      busySeconds: (this.#busyMs + runningMs) / 1_000,
      idleWhileWaitingSeconds: this.#idleWhileWaitingMs / 1_000,
    };
  }
}

/** Notes since when a generation that was claimed here had been waiting. */
export function noteClaims({ discoverBackend }: ClaimActivities, usage: GpuUsage): ClaimActivities {
  return {
    async discoverBackend(input) {
      const claim = await discoverBackend(input);
      if (claim.decision === 'new') usage.claimed(input.generationId, activityInfo().scheduledTimestampMs);
      return claim;
    },
  };
}

/** Notes what became of the submission that follows the claim. */
export function noteSubmissions(activities: BackendActivities, usage: GpuUsage): BackendActivities {
  return {
    ...activities,
    async submitPrompt(input) {
      let isQueued = false;
      try {
        const submitted = await activities.submitPrompt(input);
        isQueued = true;
        return submitted;
      } finally {
        usage.submitted(input.generationId, isQueued);
      }
    },
  };
}
