import type { GateHold, GatePosition } from '../domain/backend-gate.js';
import type { HardwareClass } from '../domain/hardware.js';
import type { DeviceKind } from './activities.js';

/** Object keys of what GPU workers publish about their ComfyUI; the API and the control worker read them. */
export const BACKEND_REPORT_PREFIX = 'backends/';

/** `backends/<backendId>.json` */
export function backendReportKey(backendId: string): string {
  return `${BACKEND_REPORT_PREFIX}${backendId}.json`;
}

/** A report that is older than this comes from a worker that is gone. It is renewed every 10 s and on every change. */
export const BACKEND_REPORT_STALE_MS = 45_000;

/**
 * What one GPU worker knows of its ComfyUI. Addresses carry no credentials and no path: they are for people who look
 * for the reason, not for connecting.
 */
export interface BackendReport {
  readonly backendId: string;
  readonly pool: string;
  /** `starting`: it refuses connections since the worker began; `down`: it answered before. */
  readonly health: 'healthy' | 'starting' | 'down';
  /** In plain words: what the ComfyUI said, or why it cannot be used. */
  readonly reason: string;
  /** What operators want of it, whatever its health. */
  readonly gate: GatePosition;
  /** Why it is not open; absent in what an earlier version wrote. */
  readonly gateHolds?: readonly GateHold[];
  /** Every address that was tried last, with what each said (R2.2). */
  readonly addresses: readonly { readonly address: string; readonly said: string }[];
  readonly comfyuiVersion: string | null;
  readonly device: DeviceKind | null;
  /** Absent in what an earlier version wrote. */
  readonly hardware?: HardwareClass | null;
  readonly deviceName: string | null;
  readonly vramTotalBytes: number | null;
  /** Prompts that run or wait in this ComfyUI's own queue. */
  readonly queueRemaining: number | null;
  readonly maxGpuJobs: number;
  /** The gated Task Queue that its claims come from; this and the next two are absent in what an earlier version wrote. */
  readonly polls?: string;
  /** Heavy models of the last generation that was submitted to it. */
  readonly loadedModels?: readonly string[];
  /** How often it has changed its gated queue since its worker started. */
  readonly queueChanges?: number;
  /** `capabilities/<sha256>.json`: node classes and models, `null` until it was read once. */
  readonly capabilitiesKey: string | null;
  readonly reportedAt: string;
  /** Figures for `/metrics`; absent in what an earlier version wrote, `null` where they cannot be had. */
  readonly vramFreeBytes?: number | null;
  readonly usage?: GpuUsageFigures;
  /** Of the worker's own disk, where outputs lie on their way to the object store. */
  readonly disk?: SpoolFigures | null;
}

/** Counted since the worker began. */
export interface GpuUsageFigures {
  /** ComfyUI had prompts that ran or waited. */
  readonly busySeconds: number;
  /** It had none, while the generation that it was given next was waiting already. */
  readonly idleWhileWaitingSeconds: number;
}

export interface SpoolFigures {
  readonly freeBytes: number;
  readonly spoolBytes: number;
}

/** `capabilities/<sha256>.json` */
export interface BackendCapabilities {
  readonly nodeClasses: readonly string[];
  /** Names of model files that any node offers; absent in what an earlier version wrote. */
  readonly modelFiles?: readonly string[];
}
