import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import type { ControlActivities } from '../workflows/contracts/activities.js';
import { toApplicationFailure } from './failures/to-application-failure.js';

/** A poller that was seen this recently is taken for alive: a long poll lasts 60 s, a restart takes some more. */
const RECENT_MS = 90_000;

export function createObserveBackendQueue({
  client,
}: {
  readonly client: Client;
}): ControlActivities['observeBackendQueue'] {
  /** Safe to retry: it only looks. */
  return async function observeBackendQueue({ taskQueue }) {
    try {
      const { pollers } = await client.workflowService.describeTaskQueue({
        namespace: client.options.namespace,
        taskQueue: { name: taskQueue },
        taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
      });
      const seenAtMs = (pollers ?? []).map(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1_000);
      return { hasPoller: seenAtMs.some((seen) => Date.now() - seen < RECENT_MS) };
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}
