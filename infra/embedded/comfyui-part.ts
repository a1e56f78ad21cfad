import { stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import { choosePorts, DEFAULT_PORTS } from './choose-ports.js';
import { findComfyUI } from './find-comfyui.js';
import { nodeChildSpec, simulatorOn } from './node-child.js';
import { orAborted } from './or-aborted.js';
import type { ProcessContext } from './processes/process-spec.js';
import { supervise } from './processes/supervise.js';
import type { Supervised } from './processes/supervise.js';

/** The ComfyUI that renders: named by the user, found on this machine, or our simulator. */
export interface ComfyUIPart {
  /** For the person at the terminal. */
  readonly address: string;
  readonly env: Env;
  readonly simulator: Supervised | null;
}

export interface ComfyUIRequest {
  readonly env: Env;
  readonly throwaway: boolean;
  readonly stop: AbortSignal;
}

/** Looks for a ComfyUI and starts the simulator when there is none. */
export async function comfyUIPart(request: ComfyUIRequest, context: ProcessContext): Promise<ComfyUIPart> {
  const { env } = request;
  const named = stringFrom(env, 'COMFYUI_URL', stringFrom(env, 'COMFYUI_HOST', ''));
  if (named !== '') return { address: named, env: {}, simulator: null };
  const found = await findComfyUI();
  // Its address is not passed on: the worker discovers it again when it comes back on another port.
  return found === null ? startSimulator(request, context) : { address: found, env: {}, simulator: null };
}

async function startSimulator(request: ComfyUIRequest, context: ProcessContext): Promise<ComfyUIPart> {
  const { folder, report } = context;
  const ports = await choosePorts(['comfyui'], { folder, wanted: {}, anyFree: request.throwaway, say: report.say });
  const port = ports.comfyui ?? DEFAULT_PORTS.comfyui;
  const url = `http://127.0.0.1:${port}`;
  report.say('No ComfyUI found on this machine: the SIMULATOR takes its place. Its pictures are drawn, not generated.');
  const simulator = supervise(nodeChildSpec(simulatorOn(port, folder.path('simulator')), request.env), context);
  try {
    await orAborted(simulator.ready, request.stop);
  } catch (error) {
    await simulator.stop();
    throw error;
  }
  return { address: `${url} (SIMULATOR)`, env: { COMFYUI_URL: url }, simulator };
}
