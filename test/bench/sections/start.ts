import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dataFolderAt } from '../../../infra/embedded/data-folder.js';
import { readPidFiles } from '../../../infra/embedded/processes/pid-file.js';
import { projectRoot } from '../../../infra/runtime/project-root.js';
import { benchEnv } from '../bench-stack.js';
import { rounded, say, sayTable } from '../print.js';
import { memoryOf } from '../process-memory.js';
import type { BenchRun, BenchSection } from '../section.js';

const READY = 'durable-comfy is ready in';
/** Long enough for the first garbage collections after the start. */
const REST_MS = 20_000;

/** From `npm start` to its "ready" line, on an empty data folder and on one that is there, and memory at rest. */
export const start: BenchSection = {
  name: 'start',
  limitMs: 6 * 60_000,
  async measure(run) {
    const first = await npmStart(run);
    await first.stop();
    const second = await npmStart(run);
    await delay(REST_MS, undefined, { signal: run.signal });
    const memory = memoryAtRest(run.folder);
    await second.stop();
    say(`Ready after ${first.seconds.toFixed(1)} s on an empty folder, ${second.seconds.toFixed(1)} s on a used one`);
    sayTable(
      ['Node processes at rest, MiB', 'RSS', 'PSS'],
      memory.map(({ name, rssMiB, pssMiB }) => [name, rssMiB.toFixed(0), pssMiB.toFixed(0)]),
    );
    const sumOf = (field: 'rssMiB' | 'pssMiB') => memory.reduce((sum, each) => sum + each[field], 0);
    return {
      readySeconds: rounded(first.seconds, 1),
      readyAgainSeconds: rounded(second.seconds, 1),
      restRssMiB: memory.length === 0 ? null : rounded(sumOf('rssMiB')),
      restPssMiB: memory.length === 0 ? null : rounded(sumOf('pssMiB')),
    };
  },
};

interface Started {
  readonly seconds: number;
  readonly stop: () => Promise<void>;
}

async function npmStart({ folder, resources, signal }: BenchRun): Promise<Started> {
  const startedAt = performance.now();
  // COMFYUI_URL would spare the search and the simulator; a first start has neither.
  const env = { ...benchEnv(), DATA_DIR: folder, DEMO: 'off' };
  const child = spawn('npm', ['start'], {
    cwd: projectRoot,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    // The whole group, as Ctrl-C in a terminal does; npm alone would not pass it on.
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined)
      process.kill(-child.pid, 'SIGINT');
    await ended;
  };
  resources.add('npm start', stop);
  let output = '';
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes(READY)) resolve();
    });
    child.once('exit', (code) => {
      reject(new Error(`npm start ended with ${String(code)}: ${output}`));
    });
  });
  await ready;
  signal.throwIfAborted();
  return { seconds: (performance.now() - startedAt) / 1_000, stop };
}

/** Ours: the program that supervises, the worker and the API. The simulator stands in for a ComfyUI and is not counted. */
function memoryAtRest(dataDir: string) {
  const lock = readFileSync(join(dataDir, 'run', 'stack.lock'), 'utf8');
  const { pid } = JSON.parse(lock) as { readonly pid: number };
  const children = readPidFiles(dataFolderAt(dataDir)).filter(({ name }) => ['worker', 'api'].includes(name));
  return [{ name: 'npm start itself', pid }, ...children].flatMap(({ name, pid: each }) => {
    const memory = memoryOf(each);
    return memory === null ? [] : [{ name, ...memory }];
  });
}
