import { getExternalWorkflowHandle, isCancellation, log } from '@temporalio/workflow';
import { adaptingOptions, findOtherBackend, freeingOptions } from './activity-options.js';
import { checked } from './checked.js';
import { backendWorkflowId, quarantineSignal } from './contracts/backend.js';
import type { AdaptedGraph, BackendClaim, FailureRecord } from './contracts/activities.js';
import type { GraphChange } from './domain/adaptation.js';
import { decideRecovery } from './domain/recovery.js';
import type { Recovery } from './domain/recovery.js';
import { failureRecordOf, isAlreadyEnded, mediaFaultsOf } from './failure-record.js';
import type { GenerationRun, PreparedRecovery } from './generation-run.js';

/** Does what comes before the next claim, and answers with what recovery that is; `null` when nothing is left to try. */
export async function prepareRecovery(
  run: GenerationRun,
  ...[claim, error]: [BackendClaim, unknown]
): Promise<PreparedRecovery | null> {
  if (isCancellation(error) || isAlreadyEnded(error)) return null;
  const failure = failureRecordOf(error);
  if (failure.kind === 'DEVICE_POISONED') await quarantine(claim, failure);
  for (const recovery of possibleRecoveries(run, failure)) {
    const adapted = recovery.change === null ? null : await adapt(run, recovery.change);
    if (recovery.change !== null && adapted === null) continue;
    if (recovery.place === 'other' && !(await isThereAnother(run, claim))) continue;
    if (recovery.freesMemory && !(await hasFreedMemory(claim))) continue;
    return { kind: failure.kind, recovery, adapted };
  }
  return null;
}

/** The graph of the part of the batch that follows; `null` when there is none. */
export async function nextPart(run: GenerationRun): Promise<AdaptedGraph | null> {
  return run.rendered.adaptation.parts.length > 1 ? adapt(run, 'next_part') : null;
}

function possibleRecoveries(run: GenerationRun, failure: FailureRecord): readonly Recovery[] {
  const isAbandoned = failure.facts['isWorkerGone'] === true && run.progress.phase !== 'collecting';
  const observed = { kind: failure.kind, mediaFaults: mediaFaultsOf(failure), isAbandoned };
  return decideRecovery(observed, run.progress.recoveries, run.policy).filter(({ action }) => action === 'claim_again');
}

async function adapt(run: GenerationRun, change: GraphChange): Promise<AdaptedGraph | null> {
  const { graph, expected } = run.input;
  const { adaptation } = run.rendered;
  const { substitutes } = run.policy;
  return checked(adaptingOptions(change).adaptGraph({ graph, expected, adaptation, change, substitutes }));
}

async function isThereAnother(run: GenerationRun, { backendId }: BackendClaim): Promise<boolean> {
  return findOtherBackend({ pool: run.input.pool, avoid: [...run.avoided, backendId] });
}

/** What cannot be freed is not rendered again: the same would happen. */
async function hasFreedMemory(claim: BackendClaim): Promise<boolean> {
  try {
    await checked(freeingOptions(claim).freeMemory());
    return true;
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('The memory of the backend could not be freed', { backendId: claim.backendId, error });
    return false;
  }
}

/** Nobody else may meet the broken device; a restart of its ComfyUI ends that. */
async function quarantine({ backendId }: BackendClaim, { detail }: FailureRecord): Promise<void> {
  try {
    await getExternalWorkflowHandle(backendWorkflowId(backendId)).signal(quarantineSignal, { reason: detail });
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('The backend could not be put into quarantine', { backendId, error });
  }
}
