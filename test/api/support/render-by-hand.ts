import { Connection } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { msToTs } from '@temporalio/common/lib/time.js';
import { generationWorkflowId } from '../../../workflows/contracts/generation.js';
import type { RenderingHeartbeat } from '../../../workflows/contracts/generation.js';
import { uniqueName } from '../../support/stack.js';

/** temporal.api.enums.v1.CommandType */
const COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK = 1;

/** A generation's Workflow whose rendering activity is played by the test, over the worker's own protocol. */
export interface RenderingByHand {
  readonly runId: string;
  heartbeat(details: RenderingHeartbeat): Promise<void>;
  end(): Promise<void>;
}

/** Starts the Workflow and its `awaitCompletion` without a worker process: seconds of bundling are saved. */
export async function renderByHand(address: string, generationId: string): Promise<RenderingByHand> {
  const connection = await Connection.connect({ address });
  const service = connection.workflowService;
  const [namespace, workflowId] = ['default', generationWorkflowId(generationId)];
  const deadline = Date.now() + 20_000; // a poll must have one
  const taskQueue = { name: uniqueName('by-hand') };
  const { runId } = await service.startWorkflowExecution({
    ...{ namespace, workflowId, taskQueue, requestId: uniqueName('start') },
    workflowType: { name: 'generateMedia' },
  });
  const workflowTask = await connection.withDeadline(deadline, async () =>
    service.pollWorkflowTaskQueue({ namespace, taskQueue }),
  );
  const limits = { startToCloseTimeout: msToTs('1 minute'), heartbeatTimeout: msToTs('1 minute') };
  await service.respondWorkflowTaskCompleted({
    namespace,
    taskToken: workflowTask.taskToken,
    commands: [
      {
        commandType: COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        scheduleActivityTaskCommandAttributes: {
          ...{ activityId: '1', activityType: { name: 'awaitCompletion' }, taskQueue },
          ...limits,
        },
      },
    ],
  });
  const { taskToken } = await connection.withDeadline(deadline, async () =>
    service.pollActivityTaskQueue({ namespace, taskQueue }),
  );
  return {
    runId,
    async heartbeat(details) {
      const payloads = [defaultPayloadConverter.toPayload(details)].filter((payload) => payload !== undefined);
      await service.recordActivityTaskHeartbeat({ namespace, taskToken, details: { payloads } });
    },
    async end() {
      await service.terminateWorkflowExecution({ namespace, workflowExecution: { workflowId } });
      await connection.close();
    },
  };
}
