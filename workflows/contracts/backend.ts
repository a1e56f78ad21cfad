import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { GateHold, GatePosition, GateWish } from '../domain/backend-gate.js';
import type { HardwareClass } from '../domain/hardware.js';
import { DEFAULT_TIMINGS } from '../domain/worker-timings.js';
import type { DeviceKind } from './activities.js';

/** Workflow Type in event histories and the Web UI: the name of the exported function, for good. */
export const OPERATE_BACKEND = 'operateBackend';

/** `ApplicationFailure.type` of an acquisition that was refused; its first detail is the `BackendHolder` that is alive. */
export const BACKEND_HELD = 'BACKEND_HELD';

/** `backend/<backendId>` */
export function backendWorkflowId(backendId: string): string {
  return `backend/${backendId}`;
}

/** The other way round. */
export function backendIdOf(workflowId: string): string {
  return workflowId.slice(backendWorkflowId('').length);
}

/** The worker process that a backend id belongs to. */
export interface BackendHolder {
  /** Random for each start of a process. */
  readonly holderId: string;
  /** For people. */
  readonly host: string;
  readonly pid: number;
  /** Where `pid` means something: this boot of one machine, and one PID namespace on it. */
  readonly place: string;
  /** Tells the process from a later one with the same pid. */
  readonly processStartedAt: string;
  /** ISO time of the acquisition. */
  readonly since: string;
  /** Absent in acquisitions by an earlier version: the default. */
  readonly silenceSeconds?: number | undefined;
}

/** Silence of the holder after which its id is free; `tendBackend`'s heartbeat timeout. */
export function silenceSecondsOf({ silenceSeconds }: BackendHolder): number {
  return silenceSeconds ?? DEFAULT_TIMINGS.heartbeatTimeoutSeconds;
}

export interface AcquireInput {
  readonly holder: BackendHolder;
  /** The holder that the caller knows to be dead, or `null`. */
  readonly replaces: string | null;
}

export interface AcquiredBackend {
  /** What operators want of this backend: a drained one stays drained when its worker restarts. */
  readonly gate: GatePosition;
  /** Why it is not open. This and the next are absent in what an earlier version answered. */
  readonly holds?: readonly GateHold[];
  /** What the worker before last told as its `canary`. */
  readonly canary?: string | null;
}

/** What the holder tells of its ComfyUI, on changes only: each telling is a few events for ever. */
export interface BackendSummary {
  readonly holderId: string;
  readonly health: 'healthy' | 'starting' | 'down';
  readonly reason: string;
  readonly comfyuiVersion: string | null;
  readonly device: DeviceKind | null;
  /** Absent in what an earlier version told. */
  readonly hardware?: HardwareClass | null;
  readonly deviceName: string | null;
  readonly vramTotalBytes: number | null;
  /** How often this holder has found a ComfyUI, after it had refused connections or for the first time. */
  readonly timesFound: number;
  /** Only looked at while the gate is not open: nothing runs or waits in its queue. */
  readonly isIdle: boolean;
  /** Absent in what an earlier version told. */
  readonly polling?: BackendPolling;
  /**
   * A prompt in the history of its ComfyUI, only told while the gate is closed: whoever does not find it there any more
   * knows that the ComfyUI has restarted meanwhile. Absent in what an earlier version told.
   */
  readonly canary?: string | null;
  /** The canary of an earlier worker, which is not in the history any more. */
  readonly goneCanary?: string | null;
}

/** Where the claims of a backend come from. */
export interface BackendPolling {
  /** The gated Task Queue. */
  readonly polls: string;
  /** Heavy models of the last generation that was submitted to it. */
  readonly loadedModels: readonly string[];
  /** Since its worker started. */
  readonly queueChanges: number;
}

/** What a worker answered when its gate was set. */
export interface GateAnswer {
  readonly position: GatePosition;
  /** In ComfyUI's own queue; `null` when it does not answer. */
  readonly running: number | null;
  readonly pending: number | null;
}

export interface BackendState {
  readonly backendId: string;
  readonly holder: BackendHolder | null;
  /** ISO time since when no worker holds it; `null` while one does. */
  readonly unheldSince: string | null;
  readonly gate: GateWish;
  /** Where the gate of the holder is known to stand; a worker sets it when it acquires. */
  readonly gateSet: GatePosition;
  /** What it was told to be the reasons; absent until it was told. */
  readonly holdsSet?: readonly GateHold[];
  /** The last answer of the worker, `null` until it was asked. */
  readonly gateAnswer: GateAnswer | null;
  readonly summary: BackendSummary | null;
}

/** How the Workflow begins: fresh, or where the run before it left off. */
export interface BackendInput {
  readonly backendId: string;
  readonly gate: GateWish;
  /** Absent: as `gate` asks for. */
  readonly gateSet?: GatePosition;
  readonly holdsSet?: readonly GateHold[];
  readonly holder: BackendHolder | null;
  readonly summary: BackendSummary | null;
}

/** A worker takes the id, before it claims anything. Refused while another holder is alive. */
export const acquireUpdate = defineUpdate<AcquiredBackend, [AcquireInput]>('acquire');

/** Nothing new starts; what runs ends. */
export const drainSignal = defineSignal('drain');

/** Ends a drain and a quarantine, but no emergency stop. */
export const resumeSignal = defineSignal('resume');

/** Nothing is submitted until the ComfyUI was restarted or somebody resumes; takes the reason. */
export const quarantineSignal = defineSignal<[reason?: unknown]>('quarantine');

/** Nothing is submitted until the emergency is over, whatever else is wished; takes the reason. */
export const emergencyStopSignal = defineSignal<[reason?: unknown]>('emergencyStop');

/** A drain and a quarantine stand. */
export const emergencyOverSignal = defineSignal('emergencyOver');

export const summarySignal = defineSignal<[BackendSummary]>('summary');

export const backendStateQuery = defineQuery<BackendState>('state');

export interface TendBackendInput {
  readonly backendId: string;
  readonly holderId: string;
}

/** `stopped`: the worker stops and lets the id go; `renew`: the activity has run for long and wants to be started anew. */
export interface TendedBackend {
  readonly end: 'stopped' | 'renew';
}

/** What `tendBackend`'s heartbeat says: the Web UI shows it under Pending Activities. */
export interface BackendPulse {
  readonly health: BackendSummary['health'];
  readonly reason: string;
  readonly gate: GatePosition;
  /** Prompts that run or wait in ComfyUI's own queue. */
  readonly queueRemaining: number | null;
  readonly polling: BackendPolling;
}

export interface SetGateInput {
  readonly holderId: string;
  readonly position: GatePosition;
  /** Why it is not open; absent in what an earlier version asked. */
  readonly holds?: readonly GateHold[];
}

/** Polled on `gpu@<backendId>`: what the Workflow of the backend asks of its holder. */
export interface BackendOperations {
  readonly tendBackend: (input: TendBackendInput) => Promise<TendedBackend>;
  readonly setGate: (input: SetGateInput) => Promise<GateAnswer>;
}
