import { setTimeout as delay } from 'node:timers/promises';
import type { DataFolder } from '../data-folder.js';
import type { Reporter } from '../reporter.js';
import { readPidFiles, removePidFile } from './pid-file.js';
import type { PidFile } from './pid-file.js';
import { processIdentityOf } from '../../runtime/process-identity.js';

const STOP_WITHIN_MS = 15_000;
const LOOK_EVERY_MS = 50;

/** Stops what a killed `npm start` left running on this data folder; its data is kept. */
export async function stopLeftovers(folder: DataFolder, report: Reporter): Promise<void> {
  await Promise.all(
    readPidFiles(folder).map(async (file) => {
      if (isStillRunning(file)) {
        report.say(`Stopping ${file.name} (pid ${file.pid}), which an earlier start left running`);
        await stop(file);
      }
      removePidFile(folder, file.name);
    }),
  );
}

/** Id, start time and command line must all fit: a stranger with a reused id is never touched. */
function isStillRunning(file: PidFile): boolean {
  const identity = processIdentityOf(file.pid);
  return identity?.startedAt === file.startedAt && identity.commandLine.includes(file.marker);
}

async function stop(file: PidFile): Promise<void> {
  send(file.pid, file.stopSignal);
  const deadline = Date.now() + STOP_WITHIN_MS;
  while (isStillRunning(file)) {
    if (Date.now() > deadline) send(file.pid, 'SIGKILL');
    await delay(LOOK_EVERY_MS);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it ended in between
  }
}
