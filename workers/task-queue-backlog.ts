import type { Client } from '@temporalio/client';

/** `TaskQueueType` of the API. */
const ACTIVITY = 2;
const DEADLINE_MS = 3_000;

/** How many activities wait in a Task Queue, about; 1 where the server does not say: somebody may look. */
export async function backlogOf(client: Client, taskQueue: string): Promise<number> {
  const { namespace } = client.options;
  const { stats } = await client.withDeadline(Date.now() + DEADLINE_MS, async () =>
    client.workflowService.describeTaskQueue({
      ...{ namespace, taskQueue: { name: taskQueue }, taskQueueType: ACTIVITY, reportStats: true },
    }),
  );
  return stats?.approximateBacklogCount == null ? 1 : Number(stats.approximateBacklogCount);
}
