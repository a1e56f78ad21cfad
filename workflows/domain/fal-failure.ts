import { describeFailure } from './failure.js';
import type { FailureDescription, FailureKind } from './failure.js';

type Words = Pick<FailureDescription, 'title' | 'remedy'>;

/** Kinds whose usual words are about ComfyUI, in the words of fal.ai; the others are true of both. */
export const FAL_WORDS = {
  ENVIRONMENT: {
    title: 'The key for fal.ai is missing or refused',
    remedy: 'Set FAL_KEY for the control worker and start it again; the account of the key needs a balance, too.',
  },
  WORKFLOW_ERROR: {
    title: 'fal.ai refused the request',
    remedy: 'Change what the detail names: a prompt or picture that its policy forbids, a value, or the template.',
  },
  NETWORK_ERROR: {
    title: 'fal.ai failed, or the connection to it',
    remedy:
      'Check that the control worker reaches fal.ai and the object store, and see https://fal.ai/dashboard/requests, ' +
      'then retry; a retry may be paid for again.',
  },
  INTERRUPTED: {
    title: 'The request was cancelled on fal.ai',
    remedy: 'Retry the generation; do not cancel its request on the dashboard of fal.ai while it renders.',
  },
  PROMPT_LOST: {
    title: 'fal.ai does not know the request any more',
    remedy: 'See https://fal.ai/dashboard/requests, then retry; a retry may be paid for again.',
  },
  BAD_INPUT: {
    title: 'fal.ai cannot use an input file',
    remedy: 'Send another file; the detail says what fal.ai objects to.',
  },
  INPUT_TOO_LARGE: {
    title: 'An input is larger than fal.ai accepts',
    remedy: 'Send a smaller file, or let ComfyUI render it with provider "comfyui-only".',
  },
  OUTPUT_INVALID: {
    title: 'What fal.ai delivered is not what was asked for',
    remedy: 'Retry the generation; where its safety checker objects, ask for something else.',
  },
  NO_CAPACITY: {
    title: 'fal.ai may not be asked for this generation',
    remedy: 'Do what the detail says: set FAL_KEY, ask for fewer outputs, or raise the ceiling that it names.',
  },
} as const satisfies Partial<Record<FailureKind, Words>>;
export type FalWordedKind = keyof typeof FAL_WORDS;

/** How a generation has failed, as it is recorded. */
export interface RecordedFailure {
  readonly kind: FailureKind;
  readonly provider: 'comfyui' | 'fal';
  readonly facts: Readonly<Record<string, unknown>>;
}

/** Its kind when fal.ai alone has caused it and has other words for it; after a fallback ComfyUI was the first cause. */
export function falWordedKind({ kind, provider, facts }: RecordedFailure): FalWordedKind | null {
  if (provider !== 'fal' || facts['fallback'] !== undefined) return null;
  return isFalWorded(kind) ? kind : null;
}

/** Title, remedy and retryability of a failure, by who has caused it. */
export function describeRecordedFailure(failure: RecordedFailure): FailureDescription {
  const usual = describeFailure(failure.kind);
  const worded = falWordedKind(failure);
  if (worded === null) return usual;
  const isRetryableByCaller = usual.isRetryableByCaller && failure.facts['isPassing'] !== false;
  return { ...usual, ...FAL_WORDS[worded], isRetryableByCaller };
}

function isFalWorded(kind: FailureKind): kind is FalWordedKind {
  return Object.hasOwn(FAL_WORDS, kind);
}
