import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import type { ComfyUIBackend } from '../activities/comfyui/comfyui-backend.js';
import type { MarkedPrompt } from '../activities/comfyui/comfyui-client.js';
import { ComfyUIError } from '../activities/comfyui/errors.js';
import type { Spool } from '../activities/spool/spool.js';
import { readClaim } from '../activities/storage/claim-record.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import { generationWorkflowId } from '../workflows/contracts/generation.js';
import type { Logger } from '../infra/runtime/logger.js';

export interface OrphanSweepOptions {
  readonly backend: ComfyUIBackend;
  readonly spool: Spool;
  readonly store: ObjectStore;
  readonly client: Client;
  readonly intervalMs: number;
  readonly logger: Logger;
}

/**
 * Removes prompts of ours that nobody waits for any more, at start and then at intervals: their generation has ended,
 * another backend or another submission renders it, or its Workflow was terminated, which runs none of its own code. So are
 * second copies of prompts that live: ComfyUI never de-duplicates, and a POST may arrive late.
 */
export function startOrphanSweep(options: OrphanSweepOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const sweeping = sweepUntil(options, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await sweeping;
    },
  };
}

async function sweepUntil(options: OrphanSweepOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await sweepOnce(options);
    } catch (error) {
      // A backend that is away has its own line in the log.
      if (!(error instanceof ComfyUIError))
        options.logger.warn({ err: error }, 'The sweep for orphaned prompts failed');
    }
    await sweepSpool(options);
    await sleep(options.intervalMs, undefined, { signal }).catch(() => undefined);
  }
}

/** A generation that was cancelled while its files were fetched, or that another backend took over, leaves them behind. */
async function sweepSpool({ spool, store, backend, logger }: OrphanSweepOptions): Promise<void> {
  try {
    for (const generationId of await spool.generationIds()) {
      const claim = await readClaim(store, generationId);
      if (claim === null || (!claim.ended && claim.backendId === backend.backendId)) continue;
      logger.info(
        { generationId, backendId: backend.backendId },
        'Removing what an ended generation left in the spool',
      );
      await spool.remove(generationId);
    }
  } catch (error) {
    logger.warn({ err: error }, 'The sweep of the spool failed');
  }
}

async function sweepOnce(options: OrphanSweepOptions): Promise<void> {
  const { backend, logger } = options;
  const seen = new Set<string>();
  for (const prompt of await backend.use(async (client) => client.markedPrompts())) {
    const isCopy = seen.has(prompt.promptId);
    seen.add(prompt.promptId);
    const reason = await orphanedBy(options, prompt);
    if (reason === null) {
      if (isCopy) await removeCopy(options, prompt);
      continue;
    }
    logger.warn({ ...prompt, backendId: backend.backendId, reason }, 'Removing an orphaned prompt');
    await backend.use(async (client) => client.stop(prompt.promptId));
  }
}

/** The one that runs, or else the last of those that wait, stays. */
async function removeCopy({ backend, logger }: OrphanSweepOptions, { promptId }: MarkedPrompt): Promise<void> {
  logger.warn({ promptId, backendId: backend.backendId }, 'Removing a second copy of a prompt');
  await backend.use(async (client) => client.removePending(promptId));
}

/** Why nobody waits for a prompt, or `null` when somebody does, or may. */
async function orphanedBy(
  { store, client, backend }: OrphanSweepOptions,
  prompt: MarkedPrompt,
): Promise<string | null> {
  const claim = await readClaim(store, prompt.generationId);
  if (claim === null) return null; // another installation of ours shares this ComfyUI
  if (claim.ended) return 'its generation has ended';
  if (claim.backendId !== backend.backendId) return 'another backend has claimed its generation';
  if (claim.submission !== prompt.submission) return 'another submission has taken its place';
  return (await isClosed(client, prompt.generationId)) ? 'its Workflow is closed' : null;
}

/** By Workflow Id alone: after a reset the run that this prompt was submitted by is closed, and the latest is not. */
async function isClosed(client: Client, generationId: string): Promise<boolean> {
  try {
    const { status } = await client.workflow.getHandle(generationWorkflowId(generationId)).describe();
    return status.name !== 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false; // nothing is known, so nothing is touched
    throw error;
  }
}
