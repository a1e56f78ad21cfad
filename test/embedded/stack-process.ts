import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A stack that runs as a process of its own, as `npm start` does. */
export interface StackProcess {
  readonly child: ChildProcess;
  /** Everything it has said so far. */
  readonly output: () => string;
  /** The settings it found its servers with. */
  readonly ready: Promise<Record<string, string>>;
  readonly exitCode: Promise<number | null>;
}

const fixture = join(process.cwd(), 'test', 'embedded', 'fixtures', 'stack.mjs');

/** Starts the stack of test/embedded/fixtures on this data folder. */
export function startStack(dataDir: string, env: NodeJS.ProcessEnv = {}): StackProcess {
  const store = process.env['TEST_OBJECT_STORE']; // the program of the other store would have to be fetched first
  const settings = {
    COMFYUI_URL: 'http://127.0.0.1:9',
    ...(store === undefined ? {} : { OBJECT_STORE: store }),
    ...env,
    DATA_DIR: dataDir,
  };
  return startNode(fixture, { args: [], env: settings });
}

/** Starts a Node program with its output collected and an IPC channel. */
export function startNode(
  entry: string,
  options: { readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv },
): StackProcess {
  const child = fork(entry, [...options.args], {
    env: { ...process.env, DEMO: 'off', ...options.env },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exitCode = once(child, 'close').then(() => child.exitCode);
  const ready = new Promise<Record<string, string>>((resolve, reject) => {
    child.once('message', (message: { env: Record<string, string> }) => {
      resolve(message.env);
    });
    void exitCode.then((code) => {
      reject(new Error(`ended with exit code ${code ?? 'none'} before it was ready: ${output}`));
    });
  });
  ready.catch(() => undefined);
  return { child, output: () => output, ready, exitCode };
}

/** Process ids of the parts, by name. */
export function pidsIn(dataDir: string): Readonly<Record<string, number>> {
  const run = join(dataDir, 'run');
  return Object.fromEntries(
    readdirSync(run)
      .filter((name) => name.endsWith('.pid.json'))
      .map((name) => {
        const { pid } = JSON.parse(readFileSync(join(run, name), 'utf8')) as { pid: number };
        return [name.replace('.pid.json', ''), pid];
      }),
  );
}

/** Waits for a condition instead of a time. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not so within ${withinMs} ms`);
    await delay(50);
  }
}
