import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { programPath } from '../../infra/runtime/program-path.js';
import { inTime } from './in-time.js';

/** How much of a process's log goes into a failure: the folder is gone when somebody reads it. */
export const LOG_LINES = 30;

/** One of our own programs, running. */
export interface NodeProcess {
  /** Where the API listens; empty for a worker. */
  readonly url: string;
  readonly pid: number;
  /** Waits for an end that comes by itself; throws the log when it does not. */
  readonly ended: () => Promise<ProcessEnd>;
  /** Sends the signal and waits for the end; what does not end is killed and an error. */
  readonly end: (signal: NodeJS.Signals) => Promise<ProcessEnd>;
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const READY_WITHIN_MS = 60_000;
/** A stopping worker gives its activities time; a crash point comes when a generation gets there. */
export const ENDS_WITHIN_MS = 150_000;

/** Starts a built program of ours; resolves when it says that it is ready, rejects with its log when it does not. */
export async function startNode(options: {
  readonly name: string;
  /** As `programPath` takes it. */
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
  readonly logDir: string;
  /** A copy of `dist/` that is broken on purpose: what the compiler left there is run. */
  readonly dist?: string;
}): Promise<NodeProcess> {
  const logPath = join(options.logDir, `${options.name}.log`);
  const child = fork(
    options.dist === undefined ? programPath(options.program) : join(options.dist, `${options.program}.js`),
    {
      env: { ...options.env },
      execArgv: [],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    },
  );
  const log = createWriteStream(logPath, { flags: 'a' });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  const ended = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) => {
      log.end();
      resolve({ code, signal });
    });
  });
  const url = await readyUrl(child, () => readFileSync(logPath, 'utf8'));
  const endsInTime = async (): Promise<ProcessEnd> =>
    inTime(ended, ENDS_WITHIN_MS, () => {
      const lastWords = readFileSync(logPath, 'utf8').split('\n').slice(-LOG_LINES);
      return `The ${options.name} has not ended; its last words:\n${lastWords.join('\n')}\nWaited in vain`;
    });
  return {
    url,
    pid: child.pid ?? -1,
    ended: endsInTime,
    end: async (signal) => {
      child.kill(signal);
      try {
        return await endsInTime();
      } finally {
        child.kill('SIGKILL'); // does nothing to one that has ended
      }
    },
  };
}

function readyUrl(child: ChildProcess, log: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`Not ready within ${READY_WITHIN_MS} ms:\n${log()}`));
    }, READY_WITHIN_MS);
    const onExit = (code: number | null): void => {
      clearTimeout(timer);
      reject(new Error(`Ended with ${String(code)} before it was ready:\n${log()}`));
    };
    child.once('message', (message: { readonly url?: string }) => {
      clearTimeout(timer);
      child.off('exit', onExit); // later the log may be gone
      resolve(message.url ?? '');
    });
    child.once('exit', onExit);
  });
}
