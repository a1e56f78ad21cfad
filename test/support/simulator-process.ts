import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programPath } from '../../infra/runtime/program-path.js';
import type { JournalEntry } from '../../infra/simulators/comfyui/journal.js';
import { serverVersions } from '../../infra/simulators/comfyui/server-versions.js';
import { inTime } from './in-time.js';
import { ENDS_WITHIN_MS } from './node-process.js';
import type { ProcessEnd } from './node-process.js';

declare global {
  var COMFYUI_VERSIONS: readonly string[]; // jest.config.js
}

/** Every simulated ComfyUI, oldest first. */
export const SIMULATED_VERSIONS: readonly string[] = serverVersions.map(({ number }) => number);

/** The ComfyUIs on which this tier tests submitting, awaiting and stopping prompts. Together the tiers cover all of them. */
export const TIER_VERSIONS: readonly string[] = globalThis.COMFYUI_VERSIONS;

export const SIMULATOR_MAIN = programPath('infra/simulators/comfyui/main');

export interface SimulatorProcessOptions {
  /** Default 0: as fast as possible. */
  readonly secondsPerStep?: number;
  /** Default: a fresh folder, removed by `stop`. Give the one of a dead process to restart it. */
  readonly dataDir?: string;
  /** Default 0: any free one. */
  readonly port?: number;
  /** One of `SIMULATED_VERSIONS`; default: the recorded one. */
  readonly version?: string;
  readonly extraArgs?: readonly string[];
}

export interface SimulatorProcess<Entry = JournalEntry> {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly dataDir: string;
  /** What this data folder's simulators received, started and finished, dead ones included. */
  readonly journal: () => Entry[];
  /** Sends the signal and waits for the end; answers exit code and signal. */
  readonly kill: (signal: NodeJS.Signals) => Promise<ProcessEnd>;
  /** SIGTERM, wait, and remove the data folder if it was made here. */
  readonly stop: () => Promise<void>;
  readonly ended: Promise<ProcessEnd>;
}

const READY_WITHIN_MS = 60_000;

/** Starts a simulator as its own process, so that killing it is real; rejects with what it wrote when it does not start. */
export async function startSimulator(options: SimulatorProcessOptions = {}): Promise<SimulatorProcess> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'comfyui-simulator-'));
  const args = [
    ...['--port', String(options.port ?? 0), '--data-dir', dataDir],
    ...['--seconds-per-step', String(options.secondsPerStep ?? 0)],
    ...(options.version === undefined ? [] : ['--version', options.version]),
    ...(options.extraArgs ?? []),
  ];
  const isOurs = options.dataDir === undefined;
  return spawnSimulator({ main: SIMULATOR_MAIN, args, dataDir, isOurs });
}

/** Any of our simulators, by its entry point; with `isOurs` the data folder goes when it stops. */
export async function spawnSimulator<Entry>(options: {
  readonly main: string;
  readonly args: readonly string[];
  readonly dataDir: string;
  readonly isOurs: boolean;
}): Promise<SimulatorProcess<Entry>> {
  const { main, args, dataDir, isOurs } = options;
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const ended = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
  const url = await inTime(readyUrl(child), READY_WITHIN_MS, () => 'The simulator did not listen');
  const kill = async (signal: NodeJS.Signals): Promise<ProcessEnd> => {
    child.kill(signal);
    return inTime(ended, ENDS_WITHIN_MS, () => `The simulator at ${url} has not ended after ${signal}`);
  };
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid ?? -1,
    dataDir,
    ended,
    journal: () => journalIn<Entry>(dataDir),
    kill,
    stop: async () => {
      await kill('SIGTERM');
      if (isOurs) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** The journal of a data folder, whether or not a simulator is running on it. */
export function journalIn<Entry = JournalEntry>(dataDir: string): Entry[] {
  const path = join(dataDir, 'journal.jsonl');
  const written = existsSync(path) ? readFileSync(path, 'utf8') : '';
  // What stands behind the last line end is being written at this moment.
  const lines = written.split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Entry);
}

function readyUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const errors: string[] = [];
    child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk.toString()));
    child.once('exit', (code) => {
      reject(new Error(`The simulator ended with ${String(code)} before it listened: ${errors.join('')}`));
    });
    child.once('message', (message: { readonly url: string }) => {
      resolve(message.url);
    });
  });
}
