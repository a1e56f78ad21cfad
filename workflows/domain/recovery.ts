import { assertNever } from './assert-never.js';
import type { FailureKind } from './failure.js';
import type { MediaFault } from './media-signature.js';

/** What the Workflow does after a failure that no retry in place can cure. */
export type Recovery =
  /** Claim a backend again, the same or another, and render under the next submission number. */
  | { readonly action: 'claim_again'; readonly strategy: string; readonly message: string }
  /** Fetch and judge the same files once more. */
  | { readonly action: 'download_again'; readonly strategy: string; readonly message: string }
  | { readonly action: 'give_up' };

export interface ObservedFailure {
  readonly kind: FailureKind;
  /** What was wrong with outputs; empty unless the kind is `OUTPUT_INVALID`. */
  readonly mediaFaults: readonly MediaFault[];
  /** The worker is gone for good, and its ComfyUI may go on rendering the prompt. */
  readonly isAbandoned: boolean;
}

/** Another backend renders what a lost one may be rendering, too. */
const TAKE_OVER = 'take_over';

/** Renderings that were left to themselves: each may have cost a GPU the same work once more. */
export function abandonedRenderingsIn(past: readonly Pick<PastRecovery, 'strategy'>[]): number {
  return past.filter(({ strategy }) => strategy === TAKE_OVER).length;
}

/** A recovery of this generation that was tried before. */
export interface PastRecovery {
  readonly kind: FailureKind;
  readonly strategy: string;
}

/** A prompt that keeps disappearing is being deleted by somebody; that does not end by trying. */
const MAX_LOST = 5;
/** "Twice at most": somebody presses the button on purpose. */
const MAX_INTERRUPTED = 2;
/** A generation that was running at two crashes is poisonous and does not meet a third GPU. */
const MAX_CRASHED = 1;
const MAX_UNREACHABLE = 3;
/** Tried once more, then it ends with its evidence. */
const MAX_UNEXPECTED = 1;
const MAX_DOWNLOADS = 3;
const MAX_RENDERINGS_FOR_OUTPUT = 1;

/** Faults that a second transfer may cure; a wrong size or an unknown kind will be the same again. */
const TRANSFER_FAULTS: readonly MediaFault[] = [
  'empty',
  'truncated',
  'trailing_bytes',
  'unknown_signature',
  'undecodable',
];

/** What to do once an activity has failed for good. Pure: the same history always decides the same way. */
export function decideRecovery(failure: ObservedFailure, past: readonly PastRecovery[]): Recovery {
  const { kind } = failure;
  const done = past.filter((recovery) => recovery.kind === kind).length;
  switch (kind) {
    case 'PROMPT_LOST':
      return again(done < MAX_LOST, 'resubmit', 'The prompt disappeared from ComfyUI and is submitted again');
    case 'INTERRUPTED':
      return again(done < MAX_INTERRUPTED, 'resubmit', 'Somebody interrupted the prompt; it is submitted again');
    case 'BACKEND_CRASHED':
      return again(
        done < MAX_CRASHED,
        'wait_and_resubmit',
        'ComfyUI crashed; the prompt is submitted again once one answers',
      );
    case 'NETWORK_ERROR':
      return failure.isAbandoned
        ? again(done < MAX_UNREACHABLE, TAKE_OVER, 'The worker of the backend is gone; the generation is taken over')
        : again(done < MAX_UNREACHABLE, 'rediscover', 'The backend could not be reached; one is looked for again');
    case 'OUTPUT_INVALID':
      return recoverOutput(failure.mediaFaults, past);
    case 'UNEXPECTED':
      return again(
        done < MAX_UNEXPECTED,
        'retry',
        'Something unexpected went wrong; the generation is tried once more',
      );
    case 'CUDA_OOM':
    case 'TIMEOUT':
    case 'MODEL_MISSING':
    case 'DEVICE_POISONED':
    case 'HOST_OOM':
    case 'ENVIRONMENT':
    case 'MODEL_CORRUPT':
    case 'MODEL_INCOMPATIBLE':
    case 'DISK_FULL':
    case 'WORKFLOW_ERROR':
    case 'NO_FACE':
    case 'BAD_INPUT':
    case 'INPUT_TOO_LARGE':
    case 'NO_CAPACITY':
      return { action: 'give_up' };
    default:
      return assertNever(kind);
  }
}

function again(isAllowed: boolean, strategy: string, message: string): Recovery {
  return isAllowed ? { action: 'claim_again', strategy, message } : { action: 'give_up' };
}

function recoverOutput(faults: readonly MediaFault[], past: readonly PastRecovery[]): Recovery {
  const timesTried = (tried: string) => past.filter(({ strategy }) => strategy === tried).length;
  const isTransfer = faults.length > 0 && faults.every((fault) => TRANSFER_FAULTS.includes(fault));
  if (isTransfer && timesTried('download_again') < MAX_DOWNLOADS) {
    const message = 'A file arrived damaged and is fetched again';
    return { action: 'download_again', strategy: 'download_again', message };
  }
  const isCurable =
    faults.length > 0 && faults.every((fault) => fault === 'missing' || TRANSFER_FAULTS.includes(fault));
  const isAllowed = isCurable && timesTried('render_again') < MAX_RENDERINGS_FOR_OUTPUT;
  return again(isAllowed, 'render_again', 'ComfyUI has no whole file, so the picture is rendered again');
}
