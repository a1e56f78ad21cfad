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

/** Without a heartbeat for this long the worker counts as gone, not slow: the SDK sends one a second at most. */
export function heartbeatTimeout(): `${number} seconds` {
  return `${timings().heartbeatTimeoutSeconds} seconds`;
}

/**
 * The backend's own queue has a thousand slots, so a task that waits there for this long has lost its worker. `onBackend`
 * then asks the Workflow of the backend whether a worker holds it.
 */
export function scheduleToStartTimeout(): `${number} seconds` {
  return `${timings().scheduleToStartSeconds} seconds`;
}

export function absenceLimits(): AbsenceLimits {
  return absenceLimitsOf(timings());
}
