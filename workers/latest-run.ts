import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client, WorkflowExecutionStatusName } from '@temporalio/client';
import { generationWorkflowId } from '../workflows/contracts/generation.js';

/** Where a generation stands in Temporal. */
export type LatestRun =
  | { readonly state: 'missing' }
  /** Under way, or in a state that this version does not know and must not touch. */
  | { readonly state: 'open'; readonly runId: string }
  | { readonly state: 'closed'; readonly runId: string; readonly closedAs: ClosedStatus };

const CLOSED = [
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'TERMINATED',
  'TIMED_OUT',
] as const satisfies readonly Partial<WorkflowExecutionStatusName>[];
export type ClosedStatus = (typeof CLOSED)[number];

const TEMPORAL_DEADLINE_MS = 5_000;

/** By Workflow Id alone: after a reset the run before is closed, and the latest is not. */
export async function latestRun(client: Client, generationId: string): Promise<LatestRun> {
  try {
    const { status, runId } = await client.withDeadline(Date.now() + TEMPORAL_DEADLINE_MS, async () =>
      client.workflow.getHandle(generationWorkflowId(generationId)).describe(),
    );
    const closedAs = CLOSED.find((name) => name === status.name);
    return closedAs === undefined ? { state: 'open', runId } : { state: 'closed', runId, closedAs };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { state: 'missing' };
    throw error;
  }
}
