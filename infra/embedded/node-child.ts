import type { Env } from '../runtime/env.js';
import { programPath } from '../runtime/program-path.js';
import { orAborted } from './or-aborted.js';
import type { ProcessSpec } from './processes/process-spec.js';

/** A Node program of ours: it says `{kind:'ready', url?}` over IPC and ends on SIGTERM or when the channel closes. */
export interface NodeChild {
  readonly name: string;
  readonly entry: string;
  readonly args: readonly string[];
  readonly env: Env;
}

/** What `npm start` runs beside the servers. */
export const WORKER: NodeChild = {
  name: 'worker',
  entry: programPath('workers/main'),
  args: [],
  env: { WORKER_ROLES: 'control,gpu' },
};

export const API: NodeChild = { name: 'api', entry: programPath('api/main'), args: [], env: {} };

/** The ComfyUI that stands in where there is none. */
export function simulatorOn(port: number, folder: string): NodeChild {
  const entry = programPath('infra/simulators/comfyui/main');
  return { name: 'simulator', entry, args: ['--port', `${port}`, '--data-dir', folder], env: {} };
}

/**
 * Memory that is used, not kept. With a heap that may have 1 GB, V8 collects when what lives has grown by six tenths, by
 * default when it is four times as much (`MemoryController::MaxGrowingFactor` in its heap-controller.cc); a young generation
 * has 12 MB in each thread, not 48; and glibc keeps what was freed in as many arenas as there are threads, eight for each
 * processor. `docs/performance.md` has what it saves.
 */
const MODEST = { NODE_OPTIONS: '--max-old-space-size=1000 --max-semi-space-size=4', MALLOC_ARENA_MAX: '2' };

/** How a child is run. */
export function nodeChildSpec(child: NodeChild, env: Env): ProcessSpec {
  return {
    name: child.name,
    command: process.execPath,
    args: [child.entry, ...child.args],
    env: { ...MODEST, ...env, ...child.env },
    marker: child.entry,
    speaksIpc: true,
    stopSignal: 'SIGTERM',
    stopWithinMs: 10_000,
    readyWithinMs: 60_000,
    untilReady: (running, signal) => orAborted(running.readyMessage, signal),
  };
}
