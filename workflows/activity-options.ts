import { proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { Duration, RetryPolicy } from '@temporalio/common';
import type { BackendActivities, BackendClaim, ClaimActivities, ControlActivities } from './contracts/activities.js';
import type { CheckpointActivities } from './contracts/checkpoint.js';
import { silenceSecondsOf } from './contracts/backend.js';
import type { BackendHolder, BackendOperations } from './contracts/backend.js';
import type { EmergencyStopActivities } from './contracts/emergency-stop.js';
import { ALREADY_ENDED, SUPERSEDED } from './contracts/generation.js';
import { GENERATION_TASK_QUEUE, backendTaskQueue, gpuTaskQueue } from './contracts/task-queues.js';
import type { FalActivities } from './contracts/fal.js';
import type { BackendUpkeep, ControlUpkeep } from './contracts/upkeep.js';
import type { GraphChange } from './domain/adaptation.js';
import { FINAL_IN_PLACE } from './domain/failure.js';
import type { AbsenceLimits } from './domain/worker-timings.js';
import { heartbeatTimeout, scheduleToStartTimeout } from './worker-timings.js';

/** R5.5: 2, 4, 8 … 30 s. What can only be cured by other input or another place ends the policy at once. */
const BACK_OFF: RetryPolicy = {
  initialInterval: '2 seconds',
  backoffCoefficient: 2,
  maximumInterval: '30 seconds',
  nonRetryableErrorTypes: [...FINAL_IN_PLACE, ALREADY_ENDED, SUPERSEDED],
};

/** Without this the SDK only tries to cancel and goes on at once: cleaning up would begin before the activity has let go. */
const cancellationType = 'WAIT_CANCELLATION_COMPLETED';

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
    heartbeatTimeout: heartbeatTimeout(), // the answer to a heartbeat brings a cancel to a claim that is being made
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
    heartbeatTimeout: heartbeatTimeout(),
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
    scheduleToStartTimeout: scheduleToStartTimeout(),
    scheduleToCloseTimeout: leftMs,
    startToCloseTimeout: '2 minutes', // one POST of 60 s, a grace period, and the wait for the backend's mutex
    heartbeatTimeout: heartbeatTimeout(),
    cancellationType,
    retry: { ...BACK_OFF, maximumAttempts: 5 }, // half a minute of pauses; then another backend may claim
    summary,
  });
}

/** Watching. The activity itself keeps the rendering limits, because only it sees the rendering begin. */
export function waitingOptions(claim: BackendClaim, { leftMs, summary }: LimitedOptions) {
  return proxyActivities<Pick<BackendActivities, 'awaitCompletion'>>({
    taskQueue: claim.taskQueue,
    scheduleToStartTimeout: scheduleToStartTimeout(),
    scheduleToCloseTimeout: leftMs,
    heartbeatTimeout: heartbeatTimeout(),
    cancellationType,
    retry: { ...BACK_OFF, initialInterval: '1 second', maximumInterval: '10 seconds' }, // it only observes: re-attach soon
    summary,
  });
}

/** Where outputs are fetched, checked and stored: beside their ComfyUI, or on any control worker. */
export interface CollectingPlace {
  readonly taskQueue: string;
  /** Absent where many poll: a task that waits there waits for its turn. */
  readonly scheduleToStartTimeout?: Duration;
}

export const besideComfyUI = ({ taskQueue }: BackendClaim): CollectingPlace => ({
  taskQueue,
  scheduleToStartTimeout: scheduleToStartTimeout(),
});
export const ON_CONTROL_WORKER: CollectingPlace = { taskQueue: GENERATION_TASK_QUEUE };

/** Files from their provider to the worker's disk, and the look at them. */
export function collectingOptions(place: CollectingPlace, summary: string) {
  return proxyActivities<Pick<BackendActivities, 'downloadOutputs' | 'validateOutputs'>>({
    ...place,
    startToCloseTimeout: '1 hour', // 4 GiB at 1.2 MB/s; silence and death are noticed by their own limits
    heartbeatTimeout: heartbeatTimeout(),
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
    heartbeatTimeout: heartbeatTimeout(),
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
    heartbeatTimeout: heartbeatTimeout(),
    cancellationType,
    retry: { ...BACK_OFF, initialInterval: '1 second' },
    summary: 'Free the GPU',
  });
}

/** Watching over a backend for as long as its worker lives; how it ends is what the Workflow waits for. */
export function tendingOptions(backendId: string, holder: BackendHolder) {
  const silence = `${silenceSecondsOf(holder)} seconds` as const;
  return proxyActivities<Pick<BackendOperations, 'tendBackend'>>({
    taskQueue: backendTaskQueue(backendId),
    scheduleToStartTimeout: silence, // its worker polls already, or is about to
    startToCloseTimeout: '2 hours', // it ends by itself after one, so that this never happens
    heartbeatTimeout: silence,
    cancellationType: 'TRY_CANCEL', // a holder that was replaced is dead: its answer would never come
    retry: { maximumAttempts: 1 }, // the Workflow must hear of every end: the id is free then
    summary: `Tended by process ${holder.pid} on ${holder.host}`,
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
    heartbeatTimeout: heartbeatTimeout(),
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
    heartbeatTimeout: heartbeatTimeout(),
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
    heartbeatTimeout: heartbeatTimeout(),
    cancellationType,
    retry: { initialInterval: '1 second', maximumInterval: '5 seconds' },
    summary,
  });
}

/** Nobody waits for upkeep: what does not work within these attempts is reported, and is due again at the next run. */
function upkeepOptions(summary: string, urgency: UpkeepUrgency) {
  return {
    startToCloseTimeout: '1 hour', // a hundred thousand files on a slow disk; death is noticed by the heartbeat
    heartbeatTimeout: heartbeatTimeout(),
    cancellationType,
    retry: { ...BACK_OFF, maximumAttempts: 5 },
    summary,
    ...UPKEEP_LIMITS[urgency],
  } as const;
}

/** `generation`: one waits for it, with a disk that is full. */
export type UpkeepUrgency = 'none' | 'generation';

const UPKEEP_LIMITS = {
  none: {},
  generation: { scheduleToCloseTimeout: '2 minutes', scheduleToStartTimeout: '20 seconds' },
} as const satisfies Record<UpkeepUrgency, object>;

export function controlUpkeepOptions(summary: string, urgency: UpkeepUrgency = 'none') {
  return proxyActivities<ControlUpkeep>({ taskQueue: GENERATION_TASK_QUEUE, ...upkeepOptions(summary, urgency) });
}

/** The next run cleans up for a worker that stays away for the schedule-to-start timeout. */
export function backendUpkeepOptions(backendId: string, summary: string, urgency: UpkeepUrgency = 'none') {
  return proxyActivities<BackendUpkeep>({
    taskQueue: backendTaskQueue(backendId),
    scheduleToStartTimeout: scheduleToStartTimeout(),
    ...upkeepOptions(summary, urgency),
  });
}

/** Copies within the store. What cannot be had soon is rendered again. */
export function inheritingOptions(from: string) {
  return proxyActivities<CheckpointActivities>({
    ...CONTROL,
    startToCloseTimeout: '10 minutes', // a batch of thousands
    heartbeatTimeout: heartbeatTimeout(),
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

export function observingOptions({ patienceMs }: AbsenceLimits) {
  return proxyActivities<Pick<ControlActivities, 'observeBackend'>>({
    ...LOOK,
    startToCloseTimeout: patienceMs + 15_000, // the wait for a worker that restarts, and one more look
    heartbeatTimeout: heartbeatTimeout(), // the answer to a heartbeat brings a cancel to a look that waits
  });
}

/** Local, because it stands beside the next step and must not cost a hop through the server. */
export const { recordProgress } = proxyLocalActivities<Pick<ControlActivities, 'recordProgress'>>({
  startToCloseTimeout: '10 seconds',
  scheduleToCloseTimeout: '30 seconds', // the outcome is recorded in full anyway; progress is not worth waiting longer for
  retry: { initialInterval: '1 second', maximumInterval: '5 seconds' },
});
