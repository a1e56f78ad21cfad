import { getExternalWorkflowHandle, isCancellation, log, patched } from '@temporalio/workflow';
import { adaptingOptions, findOtherBackend, freeingOptions } from './activity-options.js';
import { checked } from './checked.js';
import { cleanComfyUI, cleanOutputs, cleanSpoolOf, cleanUploads } from './clean-places.js';
import { backendWorkflowId, quarantineSignal } from './contracts/backend.js';
import type {
  AdaptedGraph,
  BackendClaim,
  FailureRecord,
  OtherBackends,
  OtherBackendWanted,
} from './contracts/activities.js';
import type { GraphChange } from './domain/adaptation.js';
import { decideRecovery } from './domain/recovery.js';
import type { Recovery } from './domain/recoveries.js';
import { recoveryRuleFrom } from './domain/recovery-rule.js';
import type { ParameterAdjustment } from './domain/recovery-rule.js';
import { NOTHING_REMOVED } from './domain/removal-tally.js';
import { failureRecordOf, isAlreadyEnded, isRecord, mediaFaultsOf, renderedSoFar } from './failure-record.js';
import { freeGpu } from './render-prompt.js';
import type { GenerationRun } from './generation-run.js';
import type { PreparedRecovery } from './run-steps.js';

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
    const { change, adjust = [], place, frees } = recovery;
    const adapted = change === null ? null : await unlessItFails(adapt(run, claim, { change, adjust }), null);
    if (change !== null && adapted === null) continue;
    const others = place === 'other' ? await otherBackends(run, claim, failure) : { isThere: true, unsuitable: [] };
    if (!others.isThere) continue;
    if (frees !== null && !(await hasFreedMemory(claim, frees))) continue;
    if (recovery.cleansUp === true && !(await hasCleanedUp(claim, failure))) continue;
    const { kind } = failure;
    const rendered = renderedSoFar(failure);
    const wasRunning = failure.facts['wasRunning'] !== false;
    return {
      kind,
      recovery,
      adapted,
      rendered,
      wasRunning,
      rule: recovery.rule ?? null,
      unsuitable: others.unsuitable,
    };
  }
  return null;
}

/** The graph of the part of the batch that follows; `null` when there is none. */
export async function nextPart(run: GenerationRun): Promise<AdaptedGraph | null> {
  if (run.rendered.adaptation.parts.length <= 1) return null;
  return checked(adapt(run, null, { change: 'next_part', adjust: [] }));
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
    isOfNode: typeof failure.facts['nodeId'] === 'string',
    wasRunning: failure.facts['wasRunning'] !== false,
    isOtherModel: isOtherThanCheckpoint(failure),
    rule: recoveryRuleFrom(failure.facts['rule']),
  };
  return decideRecovery(observed, run.progress.recoveries, run.policy).filter(({ action }) => action === 'claim_again');
}

/** A LoRA, a VAE or a face model: no checkpoint of the list can stand in for it. */
function isOtherThanCheckpoint({ kind, facts }: FailureRecord): boolean {
  if (kind !== 'MODEL_MISSING') return false;
  const { faults, nodeType } = facts;
  if (typeof nodeType === 'string') return !nodeType.includes('Checkpoint');
  if (!Array.isArray(faults)) return false;
  return faults.some((fault: unknown) => isRecord(fault) && fault['inputName'] !== 'ckpt_name');
}

/** Model files that the validation has named. */
function missingIn({ kind, facts }: FailureRecord): readonly string[] {
  const { faults } = facts;
  if (kind !== 'MODEL_MISSING' || !Array.isArray(faults)) return [];
  return faults.flatMap((fault: unknown) => {
    const value = isRecord(fault) ? fault['receivedValue'] : undefined;
    return typeof value === 'string' ? [value] : [];
  });
}

/** What a backend must have that is to succeed where this one has failed. */
function wantedAfter({ kind }: FailureRecord): OtherBackendWanted {
  if (kind === 'CUDA_OOM') return 'more_vram';
  return kind === 'MODEL_MISSING' ? 'models' : 'any';
}

function adapt(
  run: GenerationRun,
  ...[claim, { change, adjust }]: [
    BackendClaim | null,
    { readonly change: GraphChange; readonly adjust: readonly ParameterAdjustment[] },
  ]
): Promise<AdaptedGraph | null> {
  const { graph, expected } = run.input;
  const { adaptation } = run.rendered;
  const { substitutes } = run.policy;
  const backendId = change === 'switch_model' && claim !== null ? { backendId: claim.backendId } : {};
  return adaptingOptions(change).adaptGraph({ graph, expected, adaptation, change, substitutes, adjust, ...backendId });
}

function otherBackends(run: GenerationRun, ...[claim, failure]: [BackendClaim, FailureRecord]): Promise<OtherBackends> {
  const { pool } = run.input;
  const { backendId } = claim;
  const avoid = [...run.avoided, backendId];
  const { graph } = run.rendered;
  const found = findOtherBackend({
    ...{ pool, avoid, failedOn: backendId, graph, wanted: wantedAfter(failure), missing: missingIn(failure) },
  });
  return unlessItFails(found, { isThere: false, unsuitable: [] });
}

/** What cannot be freed is not rendered again: the same would happen. */
async function hasFreedMemory(claim: BackendClaim, frees: 'models' | 'all'): Promise<boolean> {
  const freed = freeingOptions(claim).freeMemory({ frees });
  return unlessItFails(
    freed.then(() => true),
    false,
  );
}

/** What is full of what is still needed stays full: the generation ends with the cause. */
async function hasCleanedUp({ backendId }: BackendClaim, { facts }: FailureRecord): Promise<boolean> {
  // Histories of before end a generation here at once; one of them may be replayed.
  if (!patched('full-disk-is-cleaned-up')) return false;
  const isStore = typeof facts['key'] === 'string';
  const places = isStore
    ? [() => cleanOutputs('generation'), () => cleanUploads('generation')]
    : [() => cleanComfyUI(backendId, 'generation'), () => cleanSpoolOf(backendId, 'generation')];
  const tallies = await Promise.all(places.map((clean) => unlessItFails(clean(), NOTHING_REMOVED)));
  return tallies.some(({ bytes }) => bytes > 0);
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
