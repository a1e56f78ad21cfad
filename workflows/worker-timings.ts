import { workflowInfo } from '@temporalio/workflow';
import { TIMINGS_MEMO } from './contracts/generation.js';
import { absenceLimitsOf, workerTimingsOf } from './domain/worker-timings.js';
import type { AbsenceLimits, WorkerTimings } from './domain/worker-timings.js';

/**
 * The timings that this Workflow was started with. The memo is part of its first event, so a replay and a reset read the
 * same values.
 */
function timings(): WorkerTimings {
  return workerTimingsOf(workflowInfo().memo?.[TIMINGS_MEMO]);
}

/** Heartbeats are sent once a second at most: without one for this long the worker is gone, not slow. */
export function heartbeatTimeout(): `${number} seconds` {
  return `${timings().heartbeatTimeoutSeconds} seconds`;
}

/**
 * The backend's own queue has a thousand slots: a task that waits there for so long waits for a worker that is gone. Then
 * the Workflow of the backend says whether a worker holds it, and it is scheduled again or claimed again.
 */
export function scheduleToStartTimeout(): `${number} seconds` {
  return `${timings().scheduleToStartSeconds} seconds`;
}

export function absenceLimits(): AbsenceLimits {
  return absenceLimitsOf(timings());
}
