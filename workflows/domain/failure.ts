/**
 * Every way a generation can fail. The list is closed and used everywhere: `ApplicationFailure.type`, database,
 * API (`error.kind`; `error.code` is its lower-case form), statistics. Recorded in event histories: add, never rename.
 */
export const FAILURE_KINDS = [
  'CUDA_OOM',
  'TIMEOUT',
  'MODEL_MISSING',
  'NETWORK_ERROR',
  'BACKEND_CRASHED',
  'INTERRUPTED',
  'PROMPT_LOST',
  'DEVICE_POISONED',
  'HOST_OOM',
  'ENVIRONMENT',
  'MODEL_CORRUPT',
  'MODEL_INCOMPATIBLE',
  'DISK_FULL',
  'WORKFLOW_ERROR',
  'NO_FACE',
  'BAD_INPUT',
  'INPUT_TOO_LARGE',
  'OUTPUT_INVALID',
  'OUTPUT_TOO_LARGE',
  'NO_CAPACITY',
  'UNEXPECTED',
] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** What a caller is told about a kind, and whether the same request may succeed later. */
export interface FailureDescription {
  readonly title: string;
  /** What the caller can do about it. */
  readonly remedy: string;
  /** May the same request, sent again by the caller, succeed? */
  readonly isRetryableByCaller: boolean;
  /** May the same activity, with the same input, succeed if it simply runs again? */
  readonly isRetryableInPlace: boolean;
}

const DESCRIPTIONS = {
  CUDA_OOM: {
    title: 'The GPU ran out of memory',
    remedy: 'Ask for a smaller picture, a smaller batch or fewer frames, or use a backend with more VRAM.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  TIMEOUT: {
    title: 'The generation took too long',
    remedy: 'Ask for fewer steps or a smaller picture, or allow more time with timeoutMinutes.',
    isRetryableByCaller: true,
    isRetryableInPlace: false,
  },
  MODEL_MISSING: {
    title: 'A model is not installed on the backend',
    remedy: 'Install the model named in the detail on a ComfyUI, or name one that is installed.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  NETWORK_ERROR: {
    title: 'A connection failed',
    remedy: 'Check that the workers reach ComfyUI, the object store and the database, then retry.',
    isRetryableByCaller: true,
    isRetryableInPlace: true,
  },
  BACKEND_CRASHED: {
    title: 'ComfyUI crashed',
    remedy: 'Read the ComfyUI log for the cause, start it again, then retry the generation.',
    isRetryableByCaller: true,
    isRetryableInPlace: false,
  },
  INTERRUPTED: {
    title: 'Somebody interrupted the prompt on ComfyUI',
    remedy: 'Retry the generation; do not press "interrupt" in the ComfyUI page while it renders.',
    isRetryableByCaller: true,
    isRetryableInPlace: false,
  },
  PROMPT_LOST: {
    title: 'The prompt disappeared from ComfyUI',
    remedy: 'Retry the generation; do not clear the queue or history in the ComfyUI page while it renders.',
    isRetryableByCaller: true,
    isRetryableInPlace: false,
  },
  DEVICE_POISONED: {
    title: 'The GPU of the backend is in a broken state',
    remedy: 'Restart that ComfyUI, then retry the generation.',
    isRetryableByCaller: true,
    isRetryableInPlace: false,
  },
  HOST_OOM: {
    title: 'The backend ran out of main memory',
    remedy: 'Free memory or enlarge the page file on the ComfyUI host, or use smaller models.',
    isRetryableByCaller: true,
    isRetryableInPlace: false,
  },
  ENVIRONMENT: {
    title: 'The ComfyUI installation cannot run this graph',
    remedy: 'Repair the installation named in the detail, for example by installing PyTorch for that GPU.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  MODEL_CORRUPT: {
    title: 'A model file is damaged',
    remedy: 'Download the model file named in the detail again.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  MODEL_INCOMPATIBLE: {
    title: 'A model does not fit the graph',
    remedy: 'Use a model of the kind that the loader node expects.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  DISK_FULL: {
    title: 'A disk is full',
    remedy: 'Free space on the machine named in the detail, then retry the generation.',
    isRetryableByCaller: true,
    isRetryableInPlace: false,
  },
  WORKFLOW_ERROR: {
    title: 'The graph cannot run as submitted',
    remedy: 'Correct the node and input named in the detail.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  NO_FACE: {
    title: 'No face was found in the picture',
    remedy: 'Use a photo that shows one face clearly.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  BAD_INPUT: {
    title: 'An input file cannot be read',
    remedy: 'Send the file again as PNG, JPEG or WebP.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  INPUT_TOO_LARGE: {
    title: 'An input is larger than ComfyUI accepts',
    remedy: 'Send a smaller file, or start ComfyUI with a larger --max-upload-size.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  OUTPUT_INVALID: {
    title: 'What was rendered is not what it claims to be',
    remedy: 'Retry the generation; if it happens again on ComfyUI, look at the save nodes of the graph.',
    isRetryableByCaller: true,
    isRetryableInPlace: false,
  },
  OUTPUT_TOO_LARGE: {
    title: 'A result is larger than can be stored',
    remedy: 'Ask for a smaller or shorter result, or raise the limit named in the detail.',
    isRetryableByCaller: false,
    isRetryableInPlace: false,
  },
  NO_CAPACITY: {
    title: 'No ComfyUI could take the generation in time',
    remedy:
      'Do what the detail says is missing: start a ComfyUI at one of its addresses, resume a backend, or let fal.ai ' +
      'take it (FAL_KEY, and room under its ceilings).',
    isRetryableByCaller: true,
    isRetryableInPlace: false,
  },
  UNEXPECTED: {
    title: 'Something unexpected went wrong',
    remedy: 'Retry the generation; if it fails again, report the detail.',
    isRetryableByCaller: true,
    isRetryableInPlace: true,
  },
} as const satisfies Record<FailureKind, FailureDescription>;

/** Title, remedy and retryability of a kind. */
export function describeFailure(kind: FailureKind): FailureDescription {
  return DESCRIPTIONS[kind];
}

/** Kinds that end an activity's retry policy at once: `nonRetryableErrorTypes` of every activity. */
export const FINAL_IN_PLACE: readonly FailureKind[] = FAILURE_KINDS.filter(
  (kind) => !DESCRIPTIONS[kind].isRetryableInPlace,
);

/** Failures that say nothing about the prompt: ComfyUI may be rendering it all the while. */
const SAYS_NOTHING_OF_PROMPT: readonly FailureKind[] = ['TIMEOUT', 'NETWORK_ERROR', 'UNEXPECTED'];

/** The prompt may have been finished all the same, while nobody looked, and with good outputs. */
const MAY_FINISH_UNSEEN: readonly FailureKind[] = [...SAYS_NOTHING_OF_PROMPT, 'BACKEND_CRASHED', 'PROMPT_LOST'];

/** True when a later look at the prompt may find a result. */
export function mayFinishUnseen(kind: FailureKind): boolean {
  return MAY_FINISH_UNSEEN.includes(kind);
}

/** False when the failure proves that ComfyUI is done with the prompt. */
export function mayStillRender(kind: FailureKind): boolean {
  return SAYS_NOTHING_OF_PROMPT.includes(kind);
}

/** The prompt is over, and its backend is well and has the results of the nodes that ran: the next try is quickest there. */
const STAYS_ON_BACKEND: readonly FailureKind[] = ['PROMPT_LOST', 'INTERRUPTED', 'CUDA_OOM', 'HOST_OOM', 'TIMEOUT'];

/** True when a failed submission is mostly followed by another one on the same backend, if it may be tried again at all. */
export function staysOnBackend(kind: FailureKind): boolean {
  return STAYS_ON_BACKEND.includes(kind);
}

/** Narrows a text from a history, the database or a failure's `type`. */
export function isFailureKind(text: unknown): text is FailureKind {
  return FAILURE_KINDS.some((kind) => kind === text);
}

/** The API's `error.code`. */
export function errorCodeOf(kind: FailureKind): string {
  return kind.toLowerCase();
}
