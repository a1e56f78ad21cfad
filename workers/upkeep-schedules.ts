import { setTimeout as sleep } from 'node:timers/promises';
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy, ServiceError, isGrpcServiceError } from '@temporalio/client';
import type { Client, ScheduleOptions } from '@temporalio/client';
import { UPKEEP, UPKEEP_TASKS, upkeepScheduleId } from '../workflows/contracts/upkeep.js';
import type { UpkeepTask } from '../workflows/contracts/upkeep.js';
import { GENERATION_TASK_QUEUE } from '../workflows/contracts/task-queues.js';
import type { upkeep } from '../workflows/upkeep.js';
import type { Logger } from '../infra/runtime/logger.js';

export interface UpkeepSchedulesOptions {
  readonly client: Client;
  readonly logger: Logger;
  readonly cleanupIntervalSeconds: number;
}

/** R5.12 */
const RECOVERY_DATA_SECONDS = 6 * 60 * 60;
const AGAIN_AFTER_MS = 10_000;
/** Canonical codes of gRPC that no second try changes: not allowed here, or no such call. */
const REFUSED: readonly number[] = [7, 12];

/**
 * Creates the Schedules of upkeep, or updates what is there: the settings are the truth about intervals, operators about
 * whether they are paused. Several control workers may do it at once. A cluster that refuses Schedules is told of once,
 * and everything else works on.
 */
export function startUpkeepSchedules(options: UpkeepSchedulesOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const scheduling = scheduleUntilDone(options, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await scheduling;
    },
  };
}

async function scheduleUntilDone(options: UpkeepSchedulesOptions, signal: AbortSignal): Promise<void> {
  const { logger } = options;
  while (!signal.aborted) {
    try {
      for (const task of UPKEEP_TASKS) await ensureSchedule(options, task);
      return;
    } catch (error) {
      if (isRefusal(error)) {
        const remedy = `start the Workflow ${UPKEEP} yourself, as docs/operating.md says`;
        logger.warn({ err: error }, `Temporal refuses Schedules, so that nothing is cleaned up by itself: ${remedy}`);
        return;
      }
      logger.warn({ err: error }, 'The Schedules of upkeep could not be made; trying again');
      await sleep(AGAIN_AFTER_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** The client wraps what the server said; over a worker's connection it may also come as it is. */
function isRefusal(error: unknown): boolean {
  const said = error instanceof ServiceError ? error.cause : error;
  return isGrpcServiceError(said) && REFUSED.includes(said.code);
}

async function ensureSchedule({ client, cleanupIntervalSeconds }: UpkeepSchedulesOptions, task: UpkeepTask) {
  const seconds = task === 'recovery-data' ? RECOVERY_DATA_SECONDS : cleanupIntervalSeconds;
  const wanted = scheduleOf(task, seconds);
  try {
    await client.schedule.create(wanted);
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    const { spec, action, policies } = wanted;
    await client.schedule
      .getHandle(wanted.scheduleId)
      .update<typeof upkeep>(({ state }) => ({ spec, action, policies, state })); // a paused one stays paused
  }
}

function scheduleOf(task: UpkeepTask, seconds: number) {
  const scheduleId = upkeepScheduleId(task);
  return {
    scheduleId,
    spec: { intervals: [{ every: seconds * 1_000 }] },
    action: {
      type: 'startWorkflow',
      workflowType: UPKEEP,
      workflowId: scheduleId,
      taskQueue: GENERATION_TASK_QUEUE,
      args: [{ task }],
      workflowRunTimeout: '12 hours', // one that hangs must not hold up all that come after it
      staticSummary: `Upkeep of ${task}`,
    },
    policies: {
      overlap: ScheduleOverlapPolicy.SKIP,
      catchupWindow: '1 minute', // what an outage has missed is done by the next run
    },
  } as const satisfies ScheduleOptions;
}
