import { proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { EmptyActivities, FloorInput } from './contract.js';

/** The names and queues of a generation and nothing else: what Temporal itself costs. */
export async function floor({ backendId }: FloorInput): Promise<void> {
  const startToCloseTimeout = '1 minute';
  const claims = proxyActivities<Pick<EmptyActivities, 'discoverBackend'>>({ taskQueue: 'gpu', startToCloseTimeout });
  const backend = proxyActivities<EmptyActivities>({ taskQueue: `gpu@${backendId}`, startToCloseTimeout });
  const records = proxyActivities<Pick<EmptyActivities, 'recordOutcome'>>({
    taskQueue: 'generation',
    startToCloseTimeout,
  });
  const progress = proxyLocalActivities<Pick<EmptyActivities, 'recordProgress'>>({ startToCloseTimeout });
  await claims.discoverBackend();
  await backend.submitPrompt();
  await Promise.all([progress.recordProgress(), backend.awaitCompletion()]);
  await backend.downloadOutputs();
  await backend.validateOutputs();
  await backend.uploadOutputs();
  await records.recordOutcome();
}
