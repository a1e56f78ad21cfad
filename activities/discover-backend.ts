import { log } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { BackendClaim, ClaimActivities, DiscoverBackendInput } from '../workflows/contracts/activities.js';
import { ALREADY_ENDED } from '../workflows/contracts/generation.js';
import { backendTaskQueue } from '../workflows/contracts/task-queues.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import type { ComfyUIClient } from './comfyui/comfyui-client.js';
import { promptIdOf } from './comfyui/prompt-id.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import type { ClaimRecord } from './storage/claim-record.js';
import { changeClaim } from './storage/claim-record.js';
import type { ObjectStore } from './storage/object-store.js';

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
      // The gate let this through on an older look: a backend that fell ill meanwhile fails fast, and another may claim.
      const { client, device } = await usable(backend);
      let decision: BackendClaim['decision'] = 'new';
      const record = await changeClaim(store, input.generationId, async (current) => {
        if (current?.ended === true) throw alreadyEnded(input.generationId);
        decision = (await isAlive(client, input, current, backend.backendId)) ? 'adopt' : 'new';
        if (decision === 'adopt') return null;
        return { submission: (current?.submission ?? 0) + 1, backendId: backend.backendId, ended: false };
      });
      const submission = record?.submission ?? 0;
      onClaimed(input.generationId);
      log.info('Claimed a generation', { submission, decision, backendId: backend.backendId });
      return {
        backendId: backend.backendId,
        taskQueue: backendTaskQueue(backend.backendId),
        submission,
        promptId: promptIdOf(input.generationId, submission),
        decision,
        device,
      };
    } catch (error) {
      throw toApplicationFailure(error);
    }
  };
}

async function usable(backend: ComfyUIBackend) {
  const client = await backend.client();
  await backend.use(async (current) => current.queueRemaining());
  return { client, device: backend.snapshot().found?.device ?? 'gpu' };
}

/** True when the prompt of an open record of this backend still runs, waits or has succeeded. */
async function isAlive(
  client: ComfyUIClient,
  { generationId, endedSubmissions }: DiscoverBackendInput,
  ...[record, backendId]: [ClaimRecord | null, string]
): Promise<boolean> {
  if (record?.backendId !== backendId || endedSubmissions.includes(record.submission)) return false;
  const { status } = await client.promptState(promptIdOf(generationId, record.submission));
  return status === 'pending' || status === 'running' || status === 'succeeded';
}

function alreadyEnded(generationId: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: ALREADY_ENDED,
    message: `Generation ${generationId} has ended: it is never rendered again. Retry it to get a new one`,
    nonRetryable: true,
  });
}
