import type { Env } from '../../runtime/env.js';
import type { DataFolder } from '../data-folder.js';
import type { Reporter } from '../reporter.js';
import type { RestartRequests } from '../restart-requests.js';

/** One program to be run and kept running. */
export interface ProcessSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Env;
  /** Part of the command line by which a leftover is told from a stranger. */
  readonly marker: string;
  readonly account?: ProcessAccount;
  /** Node children of ours say `{kind:'ready'}` over IPC and end when its channel closes. */
  readonly speaksIpc: boolean;
  readonly stopSignal: 'SIGINT' | 'SIGTERM';
  readonly stopWithinMs: number;
  readonly readyWithinMs: number;
  /** Resolves when the program can be used; an EmbeddedError means that trying again is no use. */
  readonly untilReady: (running: RunningProcess, signal: AbortSignal) => Promise<void>;
}

export interface ProcessAccount {
  readonly uid: number;
  readonly gid: number;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started at all. */
  readonly error?: Error;
}

export interface RunningProcess {
  readonly pid: number | undefined;
  readonly exited: Promise<ProcessExit>;
  /** Resolves with the first `{kind:'ready'}` message. */
  readonly readyMessage: Promise<void>;
  /** Asks it to end, and makes it end when it takes too long. */
  readonly stop: () => Promise<void>;
  readonly kill: () => void;
}

/** What every process of one stack shares. */
export interface ProcessContext {
  readonly folder: DataFolder;
  readonly report: Reporter;
  /** Second Ctrl-C: nothing is asked any more, everything is killed. */
  readonly killNow: AbortSignal;
  /** Under `npm run dev` only: emits the marker of a process that has a new build. */
  readonly restarts?: RestartRequests | undefined;
}
