import { defineQuery, defineSignal } from '@temporalio/workflow';

import { GENERATION_TASK_QUEUE } from './task-queues.js';

/** Workflow Type in event histories and the Web UI: the name of the exported function, for good. */
export const EMERGENCY_STOP = 'emergencyStop';

/** There is one at a time. */
const EMERGENCY_STOP_WORKFLOW_ID = 'emergency-stop';

/** Operators can start it, too: the reason is all it needs. */
export interface EmergencyStopInput {
  readonly reason?: unknown;
}

/** How a client of Temporal starts it; one that runs already goes on. */
export function emergencyStopOptions(reason: string) {
  return {
    workflowId: EMERGENCY_STOP_WORKFLOW_ID,
    workflowIdConflictPolicy: 'USE_EXISTING',
    taskQueue: GENERATION_TASK_QUEUE,
    args: [{ reason }] as [EmergencyStopInput],
    staticSummary: 'Emergency stop',
  } as const;
}

/** One backend after the stop. */
export interface StoppedBackend {
  readonly backendId: string;
  /** `unacknowledged`: its worker did not answer in time; `no_worker`: none holds it, so nothing new can be submitted. */
  readonly gate: 'closed' | 'unacknowledged' | 'no_worker';
  /** Nothing runs or waits in the queue of its ComfyUI; `null` when nobody can say. */
  readonly isIdle: boolean | null;
}

export interface StoppedGenerations {
  /** Each has an event in its own log that names the stop. */
  readonly cancelled: number;
  /** Ids of those that had not ended when the report was made, at most 100. */
  readonly stillOpen: readonly string[];
}

export interface EmergencyStopReport {
  readonly backends: readonly StoppedBackend[];
  readonly generations: StoppedGenerations;
}

export interface EmergencyStopState {
  readonly phase: 'closing_intake' | 'closing_gates' | 'cancelling' | 'confirming_idle' | 'stopped' | 'resuming';
  readonly report: EmergencyStopReport | null;
}

/** Gates open again and requests are accepted; also while the stop is still under way. */
export const resumeServiceSignal = defineSignal('resume');

export const emergencyStopStateQuery = defineQuery<EmergencyStopState>('state');

/** An emergency stop as the database knows it. */
export interface StopReference {
  readonly stopId: string;
  readonly reason: string;
}

/** Polled on `generation`, like everything that needs the database or Temporal itself. */
export interface EmergencyStopActivities {
  /** From its end on nothing is accepted or started. Answers with the stop that is in force, its own or an earlier one. */
  readonly closeIntake: (input: { readonly reason: string }) => Promise<StopReference>;
  /** Tells every backend to submit nothing more, and waits for the answers. */
  readonly closeGates: (input: StopReference) => Promise<readonly StoppedBackend[]>;
  /** Cancels what is open until nothing is, twice in a row. */
  readonly cancelOpenGenerations: (input: StopReference) => Promise<StoppedGenerations>;
  /** Waits until every backend says that nothing runs or waits in its ComfyUI. */
  readonly confirmIdle: () => Promise<readonly StoppedBackend[]>;
  readonly recordEmergencyStop: (input: StopReference & { readonly report: EmergencyStopReport }) => Promise<void>;
  /** Opens the gates as they were, then the intake. */
  readonly reopenService: (input: StopReference) => Promise<void>;
}
