import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { programPath } from '../../infra/runtime/program-path.js';

/** One of our own programs, running. */
export interface NodeProcess {
  /** Where the API listens; empty for a worker. */
  readonly url: string;
  readonly pid: number;
  readonly ended: Promise<ProcessEnd>;
  /** Sends the signal and waits for the end. */
  readonly end: (signal: NodeJS.Signals) => Promise<ProcessEnd>;
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const READY_WITHIN_MS = 60_000;

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
  return {
    url,
    pid: child.pid ?? -1,
    ended,
    end: async (signal) => {
      child.kill(signal);
      return ended;
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
