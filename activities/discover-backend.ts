import { cancellationSignal, log } from '@temporalio/activity';
import type { BackendClaim, ClaimActivities, DiscoverBackendInput } from '../workflows/contracts/activities.js';
import { backendTaskQueue } from '../workflows/contracts/task-queues.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import { promptIdOf } from './comfyui/prompt-id.js';
import { superseded } from './failures/superseded.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import { untilAborted } from './until-aborted.js';
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
   * is adopted. A retry may land on another backend, which then holds the claim under a higher number.
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
  // The gate let this through on an older look: a backend that fell ill meanwhile fails fast, and another may claim.
  await backend.use(async (client) => client.queueRemaining());
  let decision: BackendClaim['decision'] = 'new';
  const record = await changeClaim(store, generationId, async (current) => {
    cancellationSignal().throwIfAborted(); // an attempt that was left behind must not move the fence
    if (current?.ended === true) throw superseded(`Generation ${generationId} has ended. Retry it to get a new one`);
    decision = (await isAlive(backend, input, current)) ? 'adopt' : 'new';
    if (decision === 'adopt') return null;
    return { submission: (current?.submission ?? 0) + 1, backendId, ended: false };
  });
  const submission = record?.submission ?? 0;
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
