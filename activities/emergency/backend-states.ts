import { log } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import pLimit from 'p-limit';
import { OPERATE_BACKEND, backendIdOf, backendStateQuery } from '../../workflows/contracts/backend.js';
import type { BackendState } from '../../workflows/contracts/backend.js';
import type { StoppedBackend } from '../../workflows/contracts/emergency-stop.js';

const OPEN_BACKENDS = `WorkflowType = '${OPERATE_BACKEND}' AND ExecutionStatus = 'Running'`;
const DEADLINE_MS = 5_000;
const AT_ONCE = 16;

/** Calls `tell` for the Workflow of every backend; one that ends meanwhile has nothing left to be told. */
export async function forEachBackend<T>(
  client: Client,
  tell: (workflowId: string) => Promise<T>,
): Promise<readonly T[]> {
  const workflowIds: string[] = [];
  for await (const { workflowId } of client.workflow.list({ query: OPEN_BACKENDS })) workflowIds.push(workflowId);
  const atOnce = pLimit(AT_ONCE);
  return Promise.all(
    workflowIds.map(async (workflowId) =>
      atOnce(async () => client.withDeadline(Date.now() + DEADLINE_MS, async () => tell(workflowId))),
    ),
  );
}

/** How each backend stands now, by id. */
export async function stoppedBackends(client: Client): Promise<readonly StoppedBackend[]> {
  const backends = await forEachBackend(client, async (workflowId) => {
    try {
      return stoppedBackendOf(await client.workflow.getHandle(workflowId).query(backendStateQuery));
    } catch (error) {
      // One whose Workflow does not answer must not hold up the stop of all the others; the report says so.
      log.warn('The Workflow of a backend does not answer', { workflowId, error });
      return { backendId: backendIdOf(workflowId), gate: 'unacknowledged', isIdle: null } as const;
    }
  });
  return [...backends].sort((one, other) => one.backendId.localeCompare(other.backendId));
}

function stoppedBackendOf({ backendId, holder, gateSet, summary }: BackendState): StoppedBackend {
  if (holder === null) return { backendId, gate: 'no_worker', isIdle: null };
  const isClosed = gateSet === 'closed';
  const isKnown = isClosed && summary?.holderId === holder.holderId && summary.health === 'healthy';
  return { backendId, gate: isClosed ? 'closed' : 'unacknowledged', isIdle: isKnown ? summary.isIdle : null };
}
