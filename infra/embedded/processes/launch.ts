import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { projectRoot } from '../../runtime/project-root.js';
import type { DataFolder } from '../data-folder.js';
import { removePidFile, writePidFile } from './pid-file.js';
import type { ProcessExit, ProcessSpec, RunningProcess } from './process-spec.js';

const LOG_LIMIT_BYTES = 10 * 1024 * 1024;
const readySchema = z.object({ kind: z.literal('ready') });

/** Starts one program with its output in a log file and its id in a pid file. */
export function launch(spec: ProcessSpec, folder: DataFolder): RunningProcess {
  const log = openLog(folder, spec.name);
  const child = spawn(spec.command, [...spec.args], {
    cwd: projectRoot,
    env: { ...spec.env },
    // A group of its own: Ctrl-C in the terminal reaches this process only, which then stops things in order.
    detached: true,
    stdio: ['ignore', log, log, ...(spec.speaksIpc ? (['ipc'] as const) : [])],
    ...spec.account,
  });
  closeSync(log);
  if (child.pid !== undefined) writePidFile(folder, spec, child.pid);
  const exited = untilExited(child).finally(() => {
    removePidFile(folder, spec.name);
  });
  return {
    pid: child.pid,
    exited,
    readyMessage: untilReadyMessage(child),
    stop: () => stop(child, spec, exited),
    kill: () => {
      killGroup(child);
    },
  };
}

/** Where the output of a part goes. */
export function logPathOf(folder: DataFolder, name: string): string {
  return join(folder.logs, `${name}.log`);
}

function openLog(folder: DataFolder, name: string): number {
  const path = logPathOf(folder, name);
  if (existsSync(path) && statSync(path).size > LOG_LIMIT_BYTES) renameSync(path, `${path}.1`);
  return openSync(path, 'a');
}

function untilExited(child: ChildProcess): Promise<ProcessExit> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, error });
    });
  });
}

function untilReadyMessage(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.on('message', (message) => {
      if (readySchema.safeParse(message).success) resolve();
    });
  });
}

async function stop(child: ChildProcess, spec: ProcessSpec, exited: Promise<ProcessExit>): Promise<void> {
  child.kill(spec.stopSignal);
  const timer = new AbortController();
  const tooLong = delay(spec.stopWithinMs, 'too long' as const, { signal: timer.signal }).catch(() => null);
  const first = await Promise.race([exited, tooLong]);
  timer.abort();
  if (first !== 'too long') return;
  killGroup(child);
  await exited;
}

/** The whole group: what the program started itself goes with it. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}
