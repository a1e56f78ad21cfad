import { activityInfo, cancellationSignal, log } from '@temporalio/activity';
import type { BackendClaim, ClaimActivities, DiscoverBackendInput } from '../workflows/contracts/activities.js';
import { backendTaskQueue } from '../workflows/contracts/task-queues.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import { promptIdOf } from './comfyui/prompt-id.js';
import { alreadyEnded } from './failures/already-ended.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import { untilAborted } from './until-aborted.js';
import { readBackendReport } from './storage/backend-reports.js';
import type { ClaimRecord } from './storage/claim-record.js';
import { changeClaim } from './storage/claim-record.js';
import type { ObjectStore } from './storage/object-store.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export interface DiscoverBackendDeps {
  readonly backend: ComfyUIBackend;
  readonly store: ObjectStore;
  /** Told of a claim before it is answered, so that the gate counts it until the prompt is in ComfyUI's queue. */
  readonly onClaimed: (generationId: string) => void;
}

export function createDiscoverBackend({
  backend,
  store,
  onClaimed,
}: DiscoverBackendDeps): ClaimActivities['discoverBackend'] {
  /**
   * Safe to retry: the claim record is changed by compare-and-set, and an open record of this backend whose prompt lives
   * is adopted. A retry may land on another backend, which then holds the claim under a higher number. After a reset the
   * claim stays where the run before it has put it, and the answer leads there: a prompt that renders is not rendered twice.
   */
  return async function discoverBackend(input) {
    try {
      const signal = cancellationSignal();
      return await heartbeatWhile(async () => untilAborted(signal, claim({ backend, store, onClaimed }, input)));
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

async function claim(
  { backend, store, onClaimed }: DiscoverBackendDeps,
  input: DiscoverBackendInput,
): Promise<BackendClaim> {
  const { generationId } = input;
  const { backendId } = backend;
  const { runId } = activityInfo().workflowExecution ?? {};
  // The gate let this through on an older look: a backend that fell ill meanwhile fails fast, and another may claim.
  await backend.use(async (client) => client.queueRemaining());
  let decision: BackendClaim['decision'] = 'new';
  const record = await changeClaim(store, generationId, async (current) => {
    cancellationSignal().throwIfAborted(); // an attempt that was left behind must not move the fence
    if (current?.ended === true) throw alreadyEnded(generationId);
    const isHeld = isHeldElsewhere(current, { input, backendId, runId });
    decision = isHeld || (await isAlive(backend, input, current)) ? 'adopt' : 'new';
    if (decision === 'adopt') return null;
    return { submission: (current?.submission ?? 0) + 1, backendId, ended: false, runId };
  });
  const submission = record?.submission ?? 0;
  if (record !== null && record.backendId !== backendId) return claimOf(store, generationId, record);
  onClaimed(generationId);
  crashPoint('discoverBackend.mid');
  log.info('Claimed a generation', { submission, decision, backendId });
  return {
    backendId,
    taskQueue: backendTaskQueue(backendId),
    submission,
    promptId: promptIdOf(generationId, submission),
    decision,
    device: backend.snapshot().found?.device ?? 'gpu',
  };
}

/** After a reset: the claim of the run before, on a backend that this run has not asked yet. */
function isHeldElsewhere(
  record: ClaimRecord | null,
  asker: { readonly input: DiscoverBackendInput; readonly backendId: string; readonly runId: string | undefined },
): boolean {
  if (record === null || record.backendId === asker.backendId) return false;
  return record.runId !== undefined && record.runId !== asker.runId && record.submission > asker.input.lastSubmission;
}

/** The claim that another backend holds. */
async function claimOf(store: ObjectStore, generationId: string, record: ClaimRecord): Promise<BackendClaim> {
  const { submission, backendId } = record;
  log.info('The generation is claimed by another backend', { submission, backendId });
  const report = await readBackendReport(store, backendId);
  return {
    backendId,
    taskQueue: backendTaskQueue(backendId),
    submission,
    promptId: promptIdOf(generationId, submission),
    decision: 'adopt',
    device: report?.device ?? 'gpu',
  };
}

/** True when the prompt of an open record of this backend still runs, waits or has succeeded. */
async function isAlive(
  backend: ComfyUIBackend,
  { generationId, endedSubmissions }: DiscoverBackendInput,
  record: ClaimRecord | null,
): Promise<boolean> {
  if (record?.backendId !== backend.backendId || endedSubmissions.includes(record.submission)) return false;
  const promptId = promptIdOf(generationId, record.submission);
  const { status } = await backend.use(async (client) => client.promptState(promptId));
  return status === 'pending' || status === 'running' || status === 'succeeded';
}
