import { proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { RetryPolicy } from '@temporalio/common';
import type { BackendActivities, BackendClaim, ClaimActivities, ControlActivities } from './contracts/activities.js';
import type { CheckpointActivities } from './contracts/checkpoint.js';
import { HOLDER_SILENCE_SECONDS } from './contracts/backend.js';
import type { BackendOperations } from './contracts/backend.js';
import type { EmergencyStopActivities } from './contracts/emergency-stop.js';
import { ALREADY_ENDED, SUPERSEDED } from './contracts/generation.js';
import { GENERATION_TASK_QUEUE, backendTaskQueue, gpuTaskQueue } from './contracts/task-queues.js';
import type { FalActivities } from './contracts/fal.js';
import type { BackendUpkeep, ControlUpkeep } from './contracts/upkeep.js';
import type { GraphChange } from './domain/adaptation.js';
import { FINAL_IN_PLACE } from './domain/failure.js';

/** R5.5: 2, 4, 8 … 30 s. What can only be cured by other input or another place ends the policy at once. */
const BACK_OFF: RetryPolicy = {
  initialInterval: '2 seconds',
  backoffCoefficient: 2,
  maximumInterval: '30 seconds',
  nonRetryableErrorTypes: [...FINAL_IN_PLACE, ALREADY_ENDED, SUPERSEDED],
};

/** Without this the SDK only tries to cancel and goes on at once: cleaning up would begin before the activity has let go. */
const cancellationType = 'WAIT_CANCELLATION_COMPLETED';

/** Sent at most once a second; fifteen missing ones: the worker is gone, not slow. */
const heartbeatTimeout = '15 seconds';

/**
 * The backend's own queue has a thousand slots: a task that waits there for a minute waits for a worker that is gone.
 * Then the Workflow of the backend says whether a worker holds it, and it is scheduled again or claimed anew.
 */
const scheduleToStartTimeout = '60 seconds';

/** A worker that is killed at the limit leaves the last look to its successor. */
const FAL_GRACE_SECONDS = 120;

/** On a control worker: one transaction and one conditional write, or one look. */
const CONTROL = {
  taskQueue: GENERATION_TASK_QUEUE,
  startToCloseTimeout: '30 seconds',
  cancellationType,
  retry: { ...BACK_OFF, initialInterval: '1 second' },
} as const;

/** The claim, pulled by a GPU worker whose gate is open. It waits in the queue for as long as the generation may. */
export function claimOptions(
  { pool, models }: { readonly pool: string; readonly models: readonly string[] },
  options: { readonly waitMs: number; readonly summary: string },
) {
  return proxyActivities<ClaimActivities>({
    taskQueue: gpuTaskQueue(pool, models),
    scheduleToCloseTimeout: options.waitMs,
    startToCloseTimeout: '2 minutes', // discovery and R3.6's health check of a ComfyUI that starts take up to 86 s
    heartbeatTimeout, // by which a cancel reaches a claim that is being made
    cancellationType,
    retry: BACK_OFF, // without a limit of attempts: a claim holds nothing, and another backend may take the next one
    summary: options.summary,
  });
}

/**
 * The claim of a generation whose prompt ended on a backend that keeps its place for five seconds; past the gate, which
 * counts it. Whatever goes wrong, the claim of everybody's queue follows.
 */
export function returnOptions(claim: BackendClaim) {
  return proxyActivities<ClaimActivities>({
    taskQueue: claim.taskQueue,
    scheduleToStartTimeout: '5 seconds',
    startToCloseTimeout: '20 seconds',
    heartbeatTimeout,
    cancellationType,
    retry: { maximumAttempts: 1 },
    summary: `Try again on ${claim.backendId}`,
  });
}

/** An activity that ends with the total limit: `leftMs` is what is left of that when it is scheduled. */
interface LimitedOptions {
  readonly leftMs: number;
  readonly summary: string;
}

/** Short exchanges with the claimed ComfyUI. */
export function submissionOptions(claim: BackendClaim, { leftMs, summary }: LimitedOptions) {
  return proxyActivities<Pick<BackendActivities, 'submitPrompt'>>({
    taskQueue: claim.taskQueue,
    scheduleToStartTimeout,
    scheduleToCloseTimeout: leftMs,
    startToCloseTimeout: '2 minutes', // one POST of 60 s, a grace period, and the wait for the backend's mutex
    heartbeatTimeout,
    cancellationType,
    retry: { ...BACK_OFF, maximumAttempts: 5 }, // half a minute of pauses; then another backend may claim
    summary,
  });
}

/** Watching. The activity itself keeps the rendering limits, because only it sees the rendering begin. */
export function waitingOptions(claim: BackendClaim, { leftMs, summary }: LimitedOptions) {
  return proxyActivities<Pick<BackendActivities, 'awaitCompletion'>>({
    taskQueue: claim.taskQueue,
    scheduleToStartTimeout,
    scheduleToCloseTimeout: leftMs,
    heartbeatTimeout,
    cancellationType,
    retry: { ...BACK_OFF, initialInterval: '1 second', maximumInterval: '10 seconds' }, // it only observes: re-attach soon
    summary,
  });
}

/** Where outputs are fetched, checked and stored: beside their ComfyUI, or on any control worker. */
export interface CollectingPlace {
  readonly taskQueue: string;
  /** Absent where many poll: a task that waits there waits for its turn. */
  readonly scheduleToStartTimeout?: typeof scheduleToStartTimeout;
}

export const besideComfyUI = ({ taskQueue }: BackendClaim): CollectingPlace => ({ taskQueue, scheduleToStartTimeout });
export const ON_CONTROL_WORKER: CollectingPlace = { taskQueue: GENERATION_TASK_QUEUE };

/** Files from their provider to the worker's disk, and the look at them. */
export function collectingOptions(place: CollectingPlace, summary: string) {
  return proxyActivities<Pick<BackendActivities, 'downloadOutputs' | 'validateOutputs'>>({
    ...place,
    startToCloseTimeout: '1 hour', // 4 GiB at 1.2 MB/s; silence and death are noticed by their own limits
    heartbeatTimeout,
    cancellationType,
    retry: { ...BACK_OFF, maximumAttempts: 12 }, // 5 minutes: a ComfyUI that restarts still has its files
    summary,
  });
}

/** Into the object store. A picture that is finished is never given up because the store is away. */
export function uploadOptions(place: CollectingPlace, summary: string) {
  return proxyActivities<Pick<BackendActivities, 'uploadOutputs'>>({
    ...place,
    startToCloseTimeout: '1 hour',
    heartbeatTimeout,
    cancellationType,
    retry: BACK_OFF, // without a limit of attempts
    summary,
  });
}

/** Freeing the GPU, as soon as possible or not at all: a worker that is away clears up when it comes back. */
export function stoppingOptions(claim: BackendClaim) {
  return proxyActivities<Pick<BackendActivities, 'stopPrompt'>>({
    taskQueue: claim.taskQueue,
    scheduleToCloseTimeout: '20 seconds', // a cancel must not hang on a backend that is gone
    startToCloseTimeout: '15 seconds', // an interrupt takes effect at the next node or step
    heartbeatTimeout,
    cancellationType,
    retry: { ...BACK_OFF, initialInterval: '1 second' },
    summary: 'Free the GPU',
  });
}

/** Watching over a backend for as long as its worker lives; how it ends is what the Workflow waits for. */
export function tendingOptions(backendId: string, summary: string) {
  return proxyActivities<Pick<BackendOperations, 'tendBackend'>>({
    taskQueue: backendTaskQueue(backendId),
    scheduleToStartTimeout: `${HOLDER_SILENCE_SECONDS} seconds`, // its worker polls already, or is about to
    startToCloseTimeout: '2 hours', // it ends by itself after one, so that this never happens
    heartbeatTimeout: `${HOLDER_SILENCE_SECONDS} seconds`,
    cancellationType: 'TRY_CANCEL', // a holder that was replaced is dead: its answer would never come
    retry: { maximumAttempts: 1 }, // the Workflow must hear of every end: the id is free then
    summary,
  });
}

/** A word to the worker, repeated until it is heard or the holder is gone. */
export function gateOptions(backendId: string, summary: string) {
  return proxyActivities<Pick<BackendOperations, 'setGate'>>({
    taskQueue: backendTaskQueue(backendId),
    startToCloseTimeout: '10 seconds', // one look at ComfyUI's queue, which is given up after 5
    cancellationType: 'TRY_CANCEL',
    retry: { initialInterval: '1 second', maximumInterval: '10 seconds' },
    summary,
  });
}

/** One request; a backend that does not answer it will not render either. */
export function freeingOptions(claim: BackendClaim) {
  return proxyActivities<Pick<BackendActivities, 'freeMemory'>>({
    taskQueue: claim.taskQueue,
    scheduleToCloseTimeout: '30 seconds',
    startToCloseTimeout: '15 seconds',
    cancellationType,
    retry: { ...BACK_OFF, initialInterval: '1 second' },
    summary: 'Free the memory of the backend',
  });
}

/** Reads one graph and writes another. An outage of the store is waited out: the recovery needs it anyway. */
export function adaptingOptions(change: GraphChange) {
  return proxyActivities<Pick<ControlActivities, 'adaptGraph'>>({ ...CONTROL, summary: `Change the graph: ${change}` });
}

/** The ceilings, and the one POST to fal.ai. */
export function fallingBackOptions(modelId: string) {
  return proxyActivities<Pick<FalActivities, 'reserveFal' | 'submitToFal'>>({
    taskQueue: GENERATION_TASK_QUEUE,
    startToCloseTimeout: '4 minutes', // the POST may take two, and its record is written until the store answers
    heartbeatTimeout,
    cancellationType,
    retry: { ...BACK_OFF, maximumAttempts: 5 }, // what may have been posted is not posted again, whatever the attempt
    summary: `Submit to ${modelId} on fal.ai`,
  });
}

/** Watching a request on fal.ai, which keeps the limit itself: only it can use what finished late. */
export function falWaitingOptions(totalSeconds: number) {
  return proxyActivities<Pick<FalActivities, 'awaitFal'>>({
    taskQueue: GENERATION_TASK_QUEUE,
    scheduleToCloseTimeout: (totalSeconds + FAL_GRACE_SECONDS) * 1_000,
    heartbeatTimeout,
    cancellationType,
    retry: { ...BACK_OFF, initialInterval: '1 second', maximumInterval: '10 seconds' }, // it only observes
    summary: 'Rendering on fal.ai',
  });
}

/** The steps of an emergency stop. Each can be repeated, and is until it is done: an outage does not end an emergency. */
export function emergencyOptions(summary: string) {
  return proxyActivities<EmergencyStopActivities>({
    taskQueue: GENERATION_TASK_QUEUE,
    startToCloseTimeout: '30 minutes', // ten thousand cancels, and what they wait for; the activities keep limits of their own
    heartbeatTimeout,
    cancellationType,
    retry: { initialInterval: '1 second', maximumInterval: '5 seconds' },
    summary,
  });
}

/** Nobody waits for upkeep: what does not work within these attempts is reported, and is due again at the next run. */
const UPKEEP = {
  startToCloseTimeout: '1 hour', // a hundred thousand files on a slow disk; death is noticed by the heartbeat
  heartbeatTimeout,
  cancellationType,
  retry: { ...BACK_OFF, maximumAttempts: 5 },
} as const;

/** `generation`: one waits for it, with a disk that is full. */
export type UpkeepUrgency = 'none' | 'generation';

const UPKEEP_LIMITS = {
  none: {},
  generation: { scheduleToCloseTimeout: '2 minutes', scheduleToStartTimeout: '20 seconds' },
} as const satisfies Record<UpkeepUrgency, object>;

export function controlUpkeepOptions(summary: string, urgency: UpkeepUrgency = 'none') {
  const taskQueue = GENERATION_TASK_QUEUE;
  return proxyActivities<ControlUpkeep>({ ...UPKEEP, taskQueue, summary, ...UPKEEP_LIMITS[urgency] });
}

/** A worker that has been away for a minute is cleaned up after by the next run. */
export function backendUpkeepOptions(backendId: string, summary: string, urgency: UpkeepUrgency = 'none') {
  const taskQueue = backendTaskQueue(backendId);
  const limits = { scheduleToStartTimeout, ...UPKEEP_LIMITS[urgency] };
  return proxyActivities<BackendUpkeep>({ ...UPKEEP, taskQueue, summary, ...limits });
}

/** Copies within the store. What cannot be had soon is rendered again. */
export function inheritingOptions(from: string) {
  return proxyActivities<CheckpointActivities>({
    ...CONTROL,
    startToCloseTimeout: '10 minutes', // a batch of thousands
    heartbeatTimeout,
    retry: { ...CONTROL.retry, maximumAttempts: 5 },
    summary: `Take over what ${from} has left`,
  });
}

/** The database. An outage is waited out: what happened must be recorded. */
export function recordingOptions(summary: string) {
  return proxyActivities<Pick<ControlActivities, 'recordOutcome'>>({ ...CONTROL, summary });
}

/** A look at the Workflow of a backend, or at what the backends report; there is an answer without either. */
const LOOK = { ...CONTROL, retry: { ...CONTROL.retry, maximumAttempts: 3 } };

export const { explainNoCapacity, findOtherBackend } =
  proxyActivities<Pick<ControlActivities, 'explainNoCapacity' | 'findOtherBackend'>>(LOOK);

export const { observeBackend } = proxyActivities<Pick<ControlActivities, 'observeBackend'>>({
  ...LOOK,
  heartbeatTimeout, // by which a cancel reaches a look that is patient
});

/** Local, because it stands beside the next step and must not cost a hop through the server. */
export const { recordProgress } = proxyLocalActivities<Pick<ControlActivities, 'recordProgress'>>({
  startToCloseTimeout: '10 seconds',
  scheduleToCloseTimeout: '30 seconds', // the outcome is recorded in full anyway; progress is not worth waiting longer for
  retry: { initialInterval: '1 second', maximumInterval: '5 seconds' },
});
