import { getExternalWorkflowHandle, isCancellation, log } from '@temporalio/workflow';
import { adaptingOptions, findOtherBackend, freeingOptions } from './activity-options.js';
import { checked } from './checked.js';
import { backendWorkflowId, quarantineSignal } from './contracts/backend.js';
import type { AdaptedGraph, BackendClaim, FailureRecord } from './contracts/activities.js';
import type { GraphChange } from './domain/adaptation.js';
import { decideRecovery } from './domain/recovery.js';
import type { Recovery } from './domain/recoveries.js';
import { recoveryRuleFrom } from './domain/recovery-rule.js';
import type { ParameterAdjustment } from './domain/recovery-rule.js';
import { failureRecordOf, isAlreadyEnded, mediaFaultsOf, renderedSoFar } from './failure-record.js';
import { freeGpu } from './render-prompt.js';
import type { GenerationRun, PreparedRecovery } from './generation-run.js';

/** Does what comes before the next claim, and answers with what recovery that is; `null` when nothing is left to try. */
export async function prepareRecovery(
  run: GenerationRun,
  ...[claim, error]: [BackendClaim, unknown]
): Promise<PreparedRecovery | null> {
  if (isCancellation(error) || isAlreadyEnded(error)) return null;
  const failure = failureRecordOf(error);
  const isStuck = await isStillRendering(claim, failure);
  if (isStuck || isSickUntilRestart(failure)) await quarantine(claim, failure);
  for (const recovery of possibleRecoveries(run, failure, isStuck)) {
    const { change, adjust = [], place, freesMemory } = recovery;
    const adapted = change === null ? null : await unlessItFails(adapt(run, change, adjust), null);
    if (change !== null && adapted === null) continue;
    if (place === 'other' && !(await isThereAnother(run, claim))) continue;
    if (freesMemory && !(await hasFreedMemory(claim))) continue;
    return { kind: failure.kind, recovery, adapted, rendered: renderedSoFar(failure), rule: ruleName(failure) };
  }
  return null;
}

/** The graph of the part of the batch that follows; `null` when there is none. */
export async function nextPart(run: GenerationRun): Promise<AdaptedGraph | null> {
  return run.rendered.adaptation.parts.length > 1 ? checked(adapt(run, 'next_part', [])) : null;
}

function ruleName({ facts }: FailureRecord): string | null {
  const rule = recoveryRuleFrom(facts['rule']);
  return rule?.strategy === undefined ? null : rule.name;
}

/** A device that is broken, or a ComfyUI that answers and runs nothing. */
function isSickUntilRestart({ kind, facts }: FailureRecord): boolean {
  return kind === 'DEVICE_POISONED' || facts['isZombie'] === true;
}

/** What passed a limit of its rendering, or waits where nothing runs, is stopped before anything else is tried. */
async function isStillRendering(claim: BackendClaim, failure: FailureRecord): Promise<boolean> {
  if (limitOf(failure) === null && failure.facts['isZombie'] !== true) return false;
  return !(await freeGpu(claim));
}

function limitOf({ kind, facts }: FailureRecord): 'render' | 'stall' | null {
  const { limit } = facts;
  return kind === 'TIMEOUT' && (limit === 'render' || limit === 'stall') ? limit : null;
}

function possibleRecoveries(run: GenerationRun, ...[failure, isStuck]: [FailureRecord, boolean]): readonly Recovery[] {
  const isAbandoned = failure.facts['isWorkerGone'] === true && run.progress.phase !== 'collecting';
  const observed = {
    kind: failure.kind,
    mediaFaults: mediaFaultsOf(failure),
    isAbandoned,
    isStuck,
    limit: limitOf(failure),
    rule: recoveryRuleFrom(failure.facts['rule']),
  };
  return decideRecovery(observed, run.progress.recoveries, run.policy).filter(({ action }) => action === 'claim_again');
}

function adapt(
  run: GenerationRun,
  ...[change, adjust]: [GraphChange, readonly ParameterAdjustment[]]
): Promise<AdaptedGraph | null> {
  const { graph, expected } = run.input;
  const { adaptation } = run.rendered;
  const { substitutes } = run.policy;
  return adaptingOptions(change).adaptGraph({ graph, expected, adaptation, change, substitutes, adjust });
}

function isThereAnother(run: GenerationRun, { backendId }: BackendClaim): Promise<boolean> {
  const { pool } = run.input;
  return unlessItFails(findOtherBackend({ pool, avoid: [...run.avoided, backendId] }), false);
}

/** What cannot be freed is not rendered again: the same would happen. */
async function hasFreedMemory(claim: BackendClaim): Promise<boolean> {
  const freed = freeingOptions(claim).freeMemory();
  return unlessItFails(
    freed.then(() => true),
    false,
  );
}

/** Nobody else may meet the broken device; a restart of its ComfyUI ends that. */
async function quarantine({ backendId }: BackendClaim, { detail }: FailureRecord): Promise<void> {
  const handle = getExternalWorkflowHandle(backendWorkflowId(backendId));
  await unlessItFails(handle.signal(quarantineSignal, detail), undefined);
}

/** A recovery that cannot be prepared is passed over: the caller must hear of the failure itself, not of this one. */
async function unlessItFails<T>(preparation: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await checked(preparation);
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('A recovery could not be prepared', { error });
    return otherwise;
  }
}
