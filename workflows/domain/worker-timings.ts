/** How soon a worker that died is missed, and how long its tasks wait for its return. A take-over happens after the sum. */
export interface WorkerTimings {
  /** Silence after which an activity counts as lost, and a backend id as free. */
  readonly heartbeatTimeoutSeconds: number;
  /** A task that waits longer on the queue of a backend has lost its worker. */
  readonly scheduleToStartSeconds: number;
}

/** They also apply to Workflows that an earlier version started, without a memo. */
export const DEFAULT_TIMINGS: WorkerTimings = { heartbeatTimeoutSeconds: 15, scheduleToStartSeconds: 60 };

/** Reads the timings from a memo. A Workflow cannot refuse its own start, so anything else means the defaults. */
export function workerTimingsOf(value: unknown): WorkerTimings {
  if (typeof value !== 'object' || value === null) return DEFAULT_TIMINGS;
  if (!('heartbeatTimeoutSeconds' in value) || !('scheduleToStartSeconds' in value)) return DEFAULT_TIMINGS;
  const { heartbeatTimeoutSeconds, scheduleToStartSeconds } = value;
  if (!isDuration(heartbeatTimeoutSeconds) || !isDuration(scheduleToStartSeconds)) return DEFAULT_TIMINGS;
  return { heartbeatTimeoutSeconds, scheduleToStartSeconds };
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && Number.isFinite(value);
}

/** When a backend without a holder counts as given up. */
export interface AbsenceLimits {
  /** When an id has been free for this long, its worker does not merely restart. */
  readonly goneAfterMs: number;
  /**
   * How long a look waits for a holder to return. After an outage of Temporal every holder looks silent at first; a
   * worker that is alive has the id again within some seconds.
   */
  readonly patienceMs: number;
}

/**
 * These limits apply when a task has waited for its whole schedule-to-start timeout. The id of a dead worker has been free
 * for most of that time, so half of it is enough to decide at once.
 */
export function absenceLimitsOf({ heartbeatTimeoutSeconds, scheduleToStartSeconds }: WorkerTimings): AbsenceLimits {
  return { goneAfterMs: scheduleToStartSeconds * 500, patienceMs: heartbeatTimeoutSeconds * 1_000 };
}

const QUIET_BEAT_MS = 4_000;
const NEWS_BEAT_MS = 2_000;

/**
 * Pauses between the heartbeats of an activity that watches for minutes. Each heartbeat is a write on the server, so a
 * pause is two or four seconds. A timeout below 15 s shortens them so that two lost heartbeats do no harm.
 */
export function beatPausesOf(heartbeatTimeoutMs: number): { readonly newsMs: number; readonly quietMs: number } {
  const quietMs = Math.min(QUIET_BEAT_MS, (heartbeatTimeoutMs * 4) / 15);
  return { newsMs: Math.min(NEWS_BEAT_MS, quietMs), quietMs };
}

const LONGEST_PAUSE_MS = 5_000;

/** A process that stood still for longer may have lost its attempts. A third of the timeout is never too late to ask. */
export function suspectPauseMs({ heartbeatTimeoutSeconds }: WorkerTimings): number {
  return Math.min(LONGEST_PAUSE_MS, (heartbeatTimeoutSeconds * 1_000) / 3);
}
