import { isCancellation, log, patched } from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/common';
import type { FailureRecord } from './contracts/activities.js';
import type { FalObstacle, FalRequest } from './contracts/fal.js';
import type { StoredOutput } from './contracts/generation.js';
import { falRequestOf } from './fal-choice.js';
import { decideRecovery } from './domain/recovery.js';
import { recoveryRuleFrom } from './domain/recovery-rule.js';
import { failureRecordOf, isAlreadyEnded, isSuperseded } from './failure-record.js';
import type { GenerationRun } from './generation-run.js';
import { renderOnFal, reserveOnFal } from './render-on-fal.js';

/** Since then a generation that waits says why fal.ai does not take it. */
export const OBSTACLE_IS_TOLD = 'fallback-obstacle-is-told';

/** The caller wants fal.ai, and nothing else. */
export async function renderOnFalOnly(run: GenerationRun): Promise<readonly StoredOutput[]> {
  const reserved = await reservedRequest(run);
  if ('modelId' in reserved) return renderOnFal(run, reserved);
  const { reason, isPassing } = reserved;
  throw failureOf({ kind: 'NO_CAPACITY', detail: `Cannot run on fal.ai: ${reason}`, facts: { isPassing } });
}

/**
 * What ComfyUI has failed at for good runs on fal.ai, if the kind and the request allow that (R1.2). Throws the failure
 * itself, with what the fallback lacked (R1.5), or with both causes when fal.ai fails, too. `null`: it only waits for a
 * backend, and fal.ai does not let us in, so it goes on waiting.
 */
export async function fallBack(run: GenerationRun, error: unknown): Promise<readonly StoredOutput[] | null> {
  if (isCancellation(error) || isAlreadyEnded(error) || isSuperseded(error)) throw error;
  const failure = failureRecordOf(error);
  const recovery = fallbackAfter(run, failure);
  if (recovery === undefined || run.falChoice?.provider !== 'comfyui') throw error;
  const reserved = await reservedRequest(run);
  if ('reason' in reserved) throw failureOf(withAddition(failure, `Cannot auto-fallback: ${reserved.reason}`));
  run.noteFallback(failure.kind, recovery);
  try {
    return await renderOnFal(run, reserved);
  } catch (second) {
    if (isCancellation(second) || isAlreadyEnded(second)) throw second;
    const refusal = failureRecordOf(second);
    if (!isOnlyWaiting(failure) || !isKeyRefused(refusal) || !patched(OBSTACLE_IS_TOLD)) {
      throw failureOf(bothFailed(failure, refusal));
    }
    run.noteRefusedFallback(refusal.detail);
    return null;
  }
}

/** Nothing has gone wrong with it that a backend could not mend by coming back. */
function isOnlyWaiting({ kind, facts }: FailureRecord): boolean {
  return kind === 'NO_CAPACITY' && facts['isWithoutBackend'] === true;
}

/** A wrong key, or an account without balance: fal.ai has not looked at the request. */
function isKeyRefused({ facts }: FailureRecord): boolean {
  return facts['setting'] === 'FAL_KEY';
}

/** True when nothing that is known now speaks against fal.ai taking a generation that finds no backend. */
export function mayFallBack({ policy, falChoice }: GenerationRun): boolean {
  return policy.isEnabled && falChoice?.provider === 'comfyui' && 'modelId' in falRequestOf(falChoice);
}

/** Why fal.ai does not take it now, `null` when it does and its price is set aside. */
export async function fallbackObstacle(run: GenerationRun): Promise<string | null> {
  const reserved = await reservedRequest(run);
  return 'reason' in reserved ? reserved.reason : null;
}

function fallbackAfter(run: GenerationRun, { kind, facts }: FailureRecord) {
  const observed = {
    kind,
    mediaFaults: [],
    isAbandoned: false,
    isWithoutBackend: facts['isWithoutBackend'] === true,
    rule: recoveryRuleFrom(facts['rule']),
  };
  return decideRecovery(observed, run.progress.recoveries, run.policy).find(({ action }) => action === 'fall_back');
}

async function reservedRequest(run: GenerationRun): Promise<FalRequest | FalObstacle> {
  const { falChoice } = run;
  if (falChoice === null) return { reason: 'it was accepted before there was another provider', isPassing: false };
  const request = falRequestOf(falChoice);
  if ('reason' in request) return { ...request, isPassing: false };
  return (await obstacleTo(run, request)) ?? request;
}

/** Without an answer nothing is posted: what it costs would be under no ceiling. */
async function obstacleTo(run: GenerationRun, request: FalRequest): Promise<FalObstacle | null> {
  try {
    return await reserveOnFal(run, request);
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('The price on fal.ai could not be set aside', { error });
    return { reason: 'the price could not be set aside, because the database does not answer', isPassing: true };
  }
}

function withAddition(failure: FailureRecord, addition: string): FailureRecord {
  return { ...failure, detail: `${failure.detail.replace(/[.]$/, '')}. ${addition}` };
}

/** Under the first kind: that is what the caller can do something about. */
function bothFailed(failure: FailureRecord, second: FailureRecord): FailureRecord {
  const facts = { ...failure.facts, fallback: second };
  return withAddition({ ...failure, facts }, `Fallback backend also failed: ${second.detail}`);
}

function failureOf({ kind, detail, facts }: FailureRecord): ApplicationFailure {
  return ApplicationFailure.create({ type: kind, message: detail, details: [facts], nonRetryable: true });
}
