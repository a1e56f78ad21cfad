import type { FileOwners, OldFiles, UnneededFiles } from '../domain/old-files.js';
import type { RemovalTally } from '../domain/removal-tally.js';

/** Workflow Type in event histories and the Web UI: the name of the exported function, for good. */
export const UPKEEP = 'upkeep';

/** What one run looks at: files that pass through, data of recoveries, or delivered results. */
export const UPKEEP_TASKS = ['files', 'recovery-data', 'outputs'] as const;
export type UpkeepTask = (typeof UPKEEP_TASKS)[number];

/** All that a run is given, so that operators can start one: how long things are kept is known to the workers. */
export interface UpkeepInput {
  readonly task: UpkeepTask;
}

/** `upkeep/<task>`: the Schedule, and the beginning of the Workflow Ids of its runs. */
export function upkeepScheduleId(task: UpkeepTask): string {
  return `upkeep/${task}`;
}

export interface RemovalReport extends RemovalTally {
  /** For people: `files of ComfyUI, backend gpu-1`. */
  readonly place: string;
}

/** Result of the Workflow. */
export interface UpkeepReport {
  readonly task: UpkeepTask;
  readonly removed: Pick<RemovalTally, 'files' | 'bytes'>;
  readonly places: readonly RemovalReport[];
}

export interface FindOldFilesInput {
  /** Where the page before ended; `null`: from the beginning. */
  readonly after: string | null;
}

export interface FoundOldFiles {
  readonly found: readonly OldFiles[];
  /** For the next page; `null`: there is none. */
  readonly next: string | null;
}

export interface RemoveOldFilesInput {
  readonly found: readonly OldFiles[];
}

export interface OldUpload {
  readonly id: string;
  /** `null`: it was announced and never arrived. */
  readonly sha256: string | null;
  readonly bytes: number;
}

/** Polled on `gpu@<backendId>`: what lies on the machine of one ComfyUI. */
export interface BackendUpkeep {
  readonly findOldFiles: (input: FindOldFilesInput) => Promise<FoundOldFiles>;
  readonly removeOldFiles: (input: RemoveOldFilesInput) => Promise<RemovalTally>;
  readonly cleanSpool: () => Promise<RemovalTally>;
}

/**
 * Polled on `generation`: what needs the database or the object store. Each `find…` answers one page, which the `remove…`
 * of the same name takes; so the history has what was going to be removed before anything is.
 */
export interface ControlUpkeep {
  /** Backends whose worker is alive. */
  readonly findLiveBackends: () => Promise<readonly string[]>;
  readonly findUnneededFiles: (input: FileOwners) => Promise<UnneededFiles>;
  /** Of the control worker that takes the task. */
  readonly cleanSpool: () => Promise<RemovalTally>;
  readonly findOldUploads: () => Promise<readonly OldUpload[]>;
  readonly removeOldUploads: (uploads: readonly OldUpload[]) => Promise<RemovalTally>;
  /** Uploads that are old enough and stay, because an open generation needs them. */
  readonly countNeededUploads: () => Promise<number>;
  /** Parts of uploads that never arrived. */
  readonly findStaleObjects: () => Promise<readonly StoredFile[]>;
  readonly removeStaleObjects: (objects: readonly StoredFile[]) => Promise<RemovalTally>;
  /** Ids of generations. */
  readonly findExpiredOutputs: () => Promise<readonly string[]>;
  readonly removeExpiredOutputs: (generationIds: readonly string[]) => Promise<RemovalTally>;
  /** Ids of generations whose outputs are gone. */
  readonly findOldRecords: () => Promise<readonly string[]>;
  readonly removeOldRecords: (generationIds: readonly string[]) => Promise<RemovalTally>;
  /** Checkpoints and idempotency keys: rows, counted as files without bytes. */
  readonly removeRecoveryData: () => Promise<RemovalTally>;
}

/** An object in the store. */
export interface StoredFile {
  readonly key: string;
  readonly bytes: number;
}
