import type { GraphChange } from './adaptation.js';
import type { ParameterAdjustment } from './recovery-rule.js';

/** One thing that the Workflow can do after a failure that no retry in place can cure. */
export interface Recovery {
  /**
   * `claim_again` renders under the next submission number; `download_again` fetches and judges the same files;
   * `fall_back` leaves ComfyUI for good.
   */
  readonly action: 'claim_again' | 'download_again' | 'fall_back';
  readonly strategy: string;
  /** What is being done, for the caller. */
  readonly message: string;
  /** `same`: on the backend that failed, which keeps its place; `other`: on none that it has failed on. */
  readonly place: 'same' | 'any' | 'other';
  /** What changes in the graph; a graph that has nothing of the kind is passed over. */
  readonly change: GraphChange | null;
  /** With the change `adjust_params`. */
  readonly adjust?: readonly ParameterAdjustment[];
  /** First ComfyUI unloads its `models`, which keeps the results of the nodes that are done, or lets go of `all`. */
  readonly frees: 'models' | 'all' | null;
  /** First what is old is removed from the disks of the backend and from the store; where nothing was, it is passed over. */
  readonly cleansUp?: true;
  /** Before the next claim, in seconds. */
  readonly pauseSeconds: number;
  /** The rule of the operators whose own step it is. */
  readonly rule?: string;
}

const AGAIN = { action: 'claim_again', place: 'any', change: null, frees: null, pauseSeconds: 0 } as const;
export const FREE_MEMORY: Recovery = {
  ...AGAIN,
  strategy: 'free_memory',
  message: 'The memory of the backend is freed and the same is rendered again',
  place: 'same',
  frees: 'models',
};
/** Also what ComfyUI's cache of results holds, of the host's memory and of the card's. */
export const FREE_ALL: Recovery = {
  ...FREE_MEMORY,
  strategy: 'free_all',
  message: 'The memory of the backend and its cache are freed and the same is rendered again',
  frees: 'all',
};
export const SPLIT_BATCH: Recovery = {
  ...AGAIN,
  strategy: 'split_batch',
  message: 'The batch is rendered in smaller parts',
  place: 'same',
  change: 'split_batch',
};
export const TILED_DECODE: Recovery = {
  ...AGAIN,
  strategy: 'tiled_decode',
  message: 'The picture is decoded in tiles',
  place: 'same',
  change: 'tiled_decode',
};
export const REDUCE_PARAMS: Recovery = {
  ...AGAIN,
  strategy: 'reduce_params',
  message: 'The picture is made smaller, with fewer steps',
  place: 'same',
  change: 'reduce_params',
};
/** What a rule of the operators changes; which parameters, and how, is told beside it. */
export const ADJUST_PARAMS: Recovery = {
  ...REDUCE_PARAMS,
  message: 'Parameters are changed, and it is rendered again',
  change: 'adjust_params',
};
export const SWITCH_MODEL: Recovery = {
  ...AGAIN,
  strategy: 'switch_model',
  message: 'Another model stands in for the one that is missing',
  place: 'same',
  change: 'switch_model',
};
export const OTHER_BACKEND: Recovery = {
  ...AGAIN,
  strategy: 'other_backend',
  message: 'Another backend is tried',
  place: 'other',
};

export const CLEAN_UP: Recovery = {
  ...AGAIN,
  strategy: 'clean_up',
  message: 'A disk was full; old files are removed from it and the same is rendered again',
  place: 'same',
  cleansUp: true,
};

export const RESUBMIT_LOST: Recovery = {
  ...AGAIN,
  strategy: 'resubmit',
  message: 'The prompt disappeared from ComfyUI and is submitted again',
  place: 'same',
};
export const RESUBMIT_INTERRUPTED: Recovery = {
  ...AGAIN,
  strategy: 'resubmit',
  message: 'Somebody interrupted the prompt; it is submitted again',
  place: 'same',
};
export const RESUBMIT_CRASHED: Recovery = {
  ...AGAIN,
  strategy: 'wait_and_resubmit',
  message: 'ComfyUI crashed; the prompt is submitted again once one answers',
};
/** R5.3: from ComfyUI's cache of the nodes that are done. */
export const RESUME: Recovery = {
  ...AGAIN,
  strategy: 'resume',
  message: 'Rendering took too long; it is stopped and goes on from the nodes that are done',
  place: 'same',
};
/** R5.5: what a node wanted from the network may be there later. */
export const RESUBMIT_LATER: Recovery = {
  ...AGAIN,
  strategy: 'resubmit',
  message: 'A node could not reach what it needs; the prompt is submitted again after a pause',
  place: 'same',
};
/** R5.3 of a node that gave up waiting, for example for a service. */
export const RESUME_LATER: Recovery = {
  ...AGAIN,
  strategy: 'resume',
  message: 'A node waited too long for something; the prompt goes on from the nodes that are done',
  place: 'same',
  pauseSeconds: 2,
};
/** Its gate is shut until then; another that comes up may be first. */
export const WAIT_FOR_RESTART: Recovery = {
  ...AGAIN,
  strategy: 'wait_and_resubmit',
  message: 'The backend must be restarted; the prompt is submitted again once one takes it',
};
/** Another backend renders what a lost one may be rendering, too. */
export const TAKE_OVER: Recovery = {
  ...AGAIN,
  strategy: 'take_over',
  message: 'The worker of the backend is gone; the generation is taken over',
};
/** The same, from a ComfyUI that does not stop rendering. */
export const LEAVE_STUCK: Recovery = {
  ...TAKE_OVER,
  message: 'The backend does not stop its rendering; another takes the generation over',
  place: 'other',
};
export const REDISCOVER: Recovery = {
  ...AGAIN,
  strategy: 'rediscover',
  message: 'The backend could not be reached; one is looked for again',
};
export const RETRY: Recovery = {
  ...AGAIN,
  strategy: 'retry',
  message: 'Something unexpected went wrong; the generation is tried once more',
};
/** A rule of the operators knows what went wrong. */
export const RETRY_KNOWN: Recovery = { ...RETRY, message: 'The generation is tried once more' };
export const DOWNLOAD_AGAIN: Recovery = {
  ...AGAIN,
  action: 'download_again',
  strategy: 'download_again',
  message: 'A file arrived damaged and is fetched again',
};
export const RENDER_AGAIN: Recovery = {
  ...AGAIN,
  strategy: 'render_again',
  message: 'ComfyUI has no whole file, so the picture is rendered again',
};

/** R1: on the last rung, and once: nothing comes back from there. */
export const FALL_BACK: Recovery = {
  ...AGAIN,
  action: 'fall_back',
  strategy: 'fal',
  message: 'ComfyUI backend failed. Auto-switching to fal.ai',
};
