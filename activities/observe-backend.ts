import { setTimeout as sleep } from 'node:timers/promises';
import { activityInfo, cancellationSignal } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import type { ControlActivities } from '../workflows/contracts/activities.js';
import { backendStateQuery, backendWorkflowId } from '../workflows/contracts/backend.js';
import { DEFAULT_TIMINGS, absenceLimitsOf } from '../workflows/domain/worker-timings.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';

const LOOK_MS = 1_000;

export interface ObserveBackendDeps {
  readonly client: Client;
}

export function createObserveBackend({ client }: ObserveBackendDeps): ControlActivities['observeBackend'] {
  /** Safe to retry: it only looks. */
  return async function observeBackend({ backendId, limits }) {
    const { goneAfterMs, patienceMs } = limits ?? absenceLimitsOf(DEFAULT_TIMINGS);
    const signal = cancellationSignal();
    const startedAt = performance.now();
    const elapsedMs = (): number => performance.now() - startedAt;
    // By the clock of Temporal, like the time it is compared with: this machine's own may go wrong.
    const { currentAttemptScheduledTimestampMs: scheduledAtMs } = activityInfo();
    try {
      return await heartbeatWhile(async () => {
        for (;;) {
          const freeSinceMs = await freeSince(client, backendId);
          if (freeSinceMs === null) return { isHeld: true };
          const isGone = scheduledAtMs + elapsedMs() - freeSinceMs > goneAfterMs;
          if (isGone || elapsedMs() > patienceMs) return { isHeld: false };
          await sleep(LOOK_MS, undefined, { signal });
        }
      });
    } catch (error) {
      signal.throwIfAborted();
      throw toApplicationFailure(error);
    }
  };
}

/**
 * Since when the Workflow of the backend has had no holder, as far as it knows, in milliseconds since the epoch; `null`
 * while it has one. One that an operator has ended knows nothing: a worker that lives starts it again.
 */
async function freeSince(client: Client, backendId: string): Promise<number | null> {
  const handle = client.workflow.getHandle(backendWorkflowId(backendId));
  try {
    const { status } = await handle.describe();
    if (status.name !== 'RUNNING') return Number.POSITIVE_INFINITY;
    const { unheldSince } = await handle.query(backendStateQuery);
    return unheldSince === null ? null : Date.parse(unheldSince);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return Number.POSITIVE_INFINITY;
    throw error;
  }
}
