import { assertNever } from './assert-never.js';
import type { FailureKind } from './failure.js';
import type { MediaFault } from './media-signature.js';
import { mayChange } from './past-recovery.js';
import type { PastRecovery } from './past-recovery.js';
import {
  FREE_ALL,
  FREE_MEMORY,
  SPLIT_BATCH,
  TILED_DECODE,
  REDUCE_PARAMS,
  CLEAN_UP,
  SWITCH_MODEL,
  OTHER_BACKEND,
  RESUBMIT_LOST,
  RESUBMIT_INTERRUPTED,
  RESUBMIT_CRASHED,
  RESUBMIT_LATER,
  RESUME,
  RESUME_LATER,
  WAIT_FOR_RESTART,
  TAKE_OVER,
  LEAVE_STUCK,
  REDISCOVER,
  RETRY,
  DOWNLOAD_AGAIN,
  RENDER_AGAIN,
  FALL_BACK,
} from './recoveries.js';
import type { Recovery } from './recoveries.js';
import { recoveriesByRule } from './recovery-by-rule.js';
import type { RecoveryPolicy } from './recovery-policy.js';
import type { RecoveryRule } from './recovery-rule.js';

export interface ObservedFailure {
  readonly kind: FailureKind;
  /** What was wrong with outputs; empty unless the kind is `OUTPUT_INVALID`. */
  readonly mediaFaults: readonly MediaFault[];
  /** The worker is gone for good, and its ComfyUI may go on rendering the prompt. */
  readonly isAbandoned: boolean;
  /** A time limit of one rendering, not of the whole generation. */
  readonly limit?: 'render' | 'stall' | null;
  /** The prompt could not be stopped: its ComfyUI does nothing until it is restarted. */
  readonly isStuck?: boolean;
  /** No backend was healthy for long while it waited for one. */
  readonly isWithoutBackend?: boolean;
  /** A node of the graph says so, which ComfyUI itself is well with. */
  readonly isOfNode?: boolean;
  /** False for a prompt that only waited in the queue of a ComfyUI that crashed. */
  readonly wasRunning?: boolean;
  /** What is missing is no checkpoint, for which another could stand in. */
  readonly isOtherModel?: boolean;
  /** The rule of the operators that has recognised it. */
  readonly rule?: RecoveryRule | null;
}

/** Renderings that were left to themselves: each may have cost a GPU the same work once more. */
export function abandonedRenderingsIn(past: readonly Pick<PastRecovery, 'strategy'>[]): number {
  return past.filter(({ strategy }) => strategy === TAKE_OVER.strategy).length;
}

/** Halved so often the largest batch there is (4096) consists of single pictures. */
const MAX_SPLITS = 12;
/** A graph or a model that breaks three backends is what is broken. */
const MAX_OTHER_BACKENDS = 2;
/** A prompt that keeps disappearing is being deleted by somebody; that does not end by trying. */
const MAX_LOST = 5;
/** "Twice at most": somebody presses the button on purpose. */
const MAX_INTERRUPTED = 2;
/** A generation that was running at two crashes, whatever they were, is poisonous and does not meet a third GPU. */
const MAX_CRASHED = 1;
/** A bystander is no suspect, but a ComfyUI that dies so often will do so again. */
const MAX_CRASHED_WAITING = 5;
const CRASHES: readonly FailureKind[] = ['BACKEND_CRASHED', 'DEVICE_POISONED'];
const MAX_UNREACHABLE = 3;
/** R5.5: pauses of 2, 4, 8, 16 and 30 s. */
const MAX_RESUBMITTED_LATER = 5;
const MAX_PAUSE_SECONDS = 30;
/** Tried once more, then it ends with its evidence. */
const MAX_UNEXPECTED = 1;
/** What is full again right after that is filled by somebody else. */
const MAX_CLEANED_UP = 1;
const MAX_DOWNLOADS = 3;
const MAX_RENDERINGS_FOR_OUTPUT = 1;

/** Faults that a second transfer may cure; a wrong size or an unknown kind will be the same again. */
const TRANSFER_FAULTS: readonly MediaFault[] = [
  'empty',
  'truncated',
  'trailing_bytes',
  'unknown_signature',
  'undecodable',
  'no_frames',
];

/** Faults of files that were asked for in vain; another rendering makes them anew. */
const LOST_FAULTS: readonly MediaFault[] = ['missing', 'transfer_failed'];

/**
 * What may be done once an activity has failed for good, in order: the first that is possible is done, none means that the
 * generation is given up. Pure: the same history always decides the same way.
 */
export function decideRecovery(
  failure: ObservedFailure,
  past: readonly PastRecovery[],
  policy: RecoveryPolicy,
): readonly Recovery[] {
  if (!policy.isEnabled) return [];
  const { rule = null } = failure;
  const builtIn = onComfyUI(failure, past, policy);
  const possible = rule === null ? builtIn : recoveriesByRule(rule, builtIn, past, policy);
  const hasFallenBack = past.some(({ strategy, isRefused }) => strategy === FALL_BACK.strategy && isRefused !== true);
  return hasFallenBack ? possible.filter(({ action }) => action === 'download_again') : possible;
}

function onComfyUI(
  failure: ObservedFailure,
  ...[past, policy]: [readonly PastRecovery[], RecoveryPolicy]
): readonly Recovery[] {
  const { kind, isAbandoned, mediaFaults } = failure;
  const done = past.filter((recovery) => recovery.kind === kind).length;
  switch (kind) {
    case 'CUDA_OOM':
    case 'HOST_OOM':
    case 'MODEL_MISSING':
    case 'ENVIRONMENT':
    case 'MODEL_CORRUPT':
    case 'MODEL_INCOMPATIBLE':
      return changeInputOrPlace(failure, kind, { past, policy });
    case 'PROMPT_LOST':
      return done < MAX_LOST ? [RESUBMIT_LOST] : [];
    case 'INTERRUPTED':
      return done < MAX_INTERRUPTED ? [RESUBMIT_INTERRUPTED] : [];
    case 'BACKEND_CRASHED':
      return mayMeetAnotherGpu(failure, past) ? [RESUBMIT_CRASHED, FALL_BACK] : [FALL_BACK];
    case 'DEVICE_POISONED':
      return crashesIn(past) < MAX_CRASHED ? [OTHER_BACKEND, WAIT_FOR_RESTART] : [FALL_BACK];
    case 'NETWORK_ERROR':
      if (failure.isOfNode === true) return [...resubmittedLater(past), FALL_BACK];
      return [...lookedForAgain(past, isAbandoned), FALL_BACK];
    case 'OUTPUT_INVALID':
      return recoverOutput(mediaFaults, past);
    case 'UNEXPECTED':
      return done < MAX_UNEXPECTED ? [RETRY] : [];
    case 'DISK_FULL':
      return done < MAX_CLEANED_UP ? [CLEAN_UP] : [];
    case 'WORKFLOW_ERROR':
    case 'NO_FACE':
    case 'BAD_INPUT':
    case 'INPUT_TOO_LARGE':
    case 'OUTPUT_TOO_LARGE':
      return [];
    case 'TIMEOUT':
      return recoverTimeout(failure, past);
    case 'NO_CAPACITY':
      return failure.isWithoutBackend === true ? [FALL_BACK] : [];
    default:
      return assertNever(kind);
  }
}

/** Kinds that the same input would meet again in the same place. */
type Stubborn = Extract<
  FailureKind,
  'CUDA_OOM' | 'HOST_OOM' | 'MODEL_MISSING' | 'ENVIRONMENT' | 'MODEL_CORRUPT' | 'MODEL_INCOMPATIBLE'
>;

function changeInputOrPlace(
  failure: ObservedFailure,
  ...[kind, { past, policy }]: [Stubborn, { readonly past: readonly PastRecovery[]; readonly policy: RecoveryPolicy }]
): readonly Recovery[] {
  const timesTried = ({ strategy }: Recovery) =>
    past.filter((recovery) => recovery.kind === kind && recovery.strategy === strategy).length;
  const atMost = (times: number, recovery: Recovery) => (timesTried(recovery) < times ? [recovery] : []);
  const changed = (recovery: Recovery) => (mayChange(past, policy) ? [recovery] : []);
  switch (kind) {
    case 'CUDA_OOM':
      return [
        ...atMost(1, FREE_MEMORY),
        ...atMost(MAX_SPLITS, SPLIT_BATCH),
        ...atMost(1, TILED_DECODE),
        ...atMost(1, FREE_ALL), // what results in the cache hold of the card; before anything is changed that was asked
        ...changed(REDUCE_PARAMS),
        ...atMost(1, OTHER_BACKEND),
        FALL_BACK,
      ];
    case 'HOST_OOM':
      return [...atMost(1, FREE_ALL), ...atMost(1, OTHER_BACKEND)];
    case 'MODEL_MISSING':
      return [
        ...atMost(MAX_OTHER_BACKENDS, OTHER_BACKEND),
        ...(failure.isOtherModel === true ? [] : changed(SWITCH_MODEL)),
      ];
    case 'ENVIRONMENT':
    case 'MODEL_CORRUPT':
    case 'MODEL_INCOMPATIBLE':
      return atMost(MAX_OTHER_BACKENDS, OTHER_BACKEND);
    default:
      return assertNever(kind);
  }
}

function crashesIn(past: readonly PastRecovery[]): number {
  return past.filter(({ kind, wasRunning }) => CRASHES.includes(kind) && wasRunning !== false).length;
}

function mayMeetAnotherGpu({ wasRunning = true }: ObservedFailure, past: readonly PastRecovery[]): boolean {
  if (wasRunning) return crashesIn(past) < MAX_CRASHED;
  return (
    past.filter(({ kind, wasRunning: ran }) => CRASHES.includes(kind) && ran === false).length < MAX_CRASHED_WAITING
  );
}

function lookedForAgain(past: readonly PastRecovery[], isAbandoned: boolean): readonly Recovery[] {
  const strategies: readonly string[] = [TAKE_OVER.strategy, REDISCOVER.strategy];
  const done = past.filter(({ kind, strategy }) => kind === 'NETWORK_ERROR' && strategies.includes(strategy)).length;
  return done < MAX_UNREACHABLE ? [isAbandoned ? TAKE_OVER : REDISCOVER] : [];
}

function resubmittedLater(past: readonly PastRecovery[]): readonly Recovery[] {
  const done = past.filter(
    ({ kind, strategy }) => kind === 'NETWORK_ERROR' && strategy === RESUBMIT_LATER.strategy,
  ).length;
  const pauseSeconds = Math.min(MAX_PAUSE_SECONDS, 2 ** (done + 1));
  return done < MAX_RESUBMITTED_LATER ? [{ ...RESUBMIT_LATER, pauseSeconds }] : [];
}

/** Of one rendering; what the whole generation may take is not stretched. */
function recoverTimeout(
  { limit = null, isStuck = false, isWithoutBackend = false, isOfNode = false }: ObservedFailure,
  past: readonly PastRecovery[],
): readonly Recovery[] {
  if (isWithoutBackend) return [FALL_BACK];
  const atMostOnce = (recovery: Recovery) =>
    past.some(({ kind, strategy }) => kind === 'TIMEOUT' && strategy === recovery.strategy) ? [] : [recovery];
  if (isOfNode) return atMostOnce(RESUME_LATER);
  if (limit === null) return [];
  if (isStuck) return [...atMostOnce(LEAVE_STUCK), ...atMostOnce(WAIT_FOR_RESTART)];
  // What is slow there is as slow elsewhere; what stands still may have met a fault of that backend.
  return [...atMostOnce(RESUME), ...(limit === 'stall' ? atMostOnce(OTHER_BACKEND) : [])];
}

function recoverOutput(faults: readonly MediaFault[], past: readonly PastRecovery[]): readonly Recovery[] {
  const timesTried = (tried: string) => past.filter(({ strategy }) => strategy === tried).length;
  const isTransfer = faults.length > 0 && faults.every((fault) => TRANSFER_FAULTS.includes(fault));
  if (isTransfer && timesTried(DOWNLOAD_AGAIN.strategy) < MAX_DOWNLOADS) {
    return [DOWNLOAD_AGAIN];
  }
  const isCurable = faults.length > 0 && faults.every((fault) => [...LOST_FAULTS, ...TRANSFER_FAULTS].includes(fault));
  const isAllowed = isCurable && timesTried(RENDER_AGAIN.strategy) < MAX_RENDERINGS_FOR_OUTPUT;
  return isAllowed ? [RENDER_AGAIN] : [];
}
