import { candidatesOf, discoverComfyUI } from '../../activities/comfyui/discover-comfyui.js';
import { NoComfyUIError } from '../../activities/comfyui/errors.js';
import { comfyUITargetsFrom } from '../runtime/comfyui-config.js';
import type { ComfyUITarget } from '../runtime/comfyui-config.js';
import { stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import { choosePorts, DEFAULT_PORTS } from './choose-ports.js';
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

const ASK_MS = 2_000;

/** Looks for a ComfyUI and starts the simulator when there is none. */
export async function comfyUIPart(request: ComfyUIRequest, context: ProcessContext): Promise<ComfyUIPart> {
  const { env } = request;
  const targets = comfyUITargetsFrom(env);
  const isNamed = ['COMFYUI_URL', 'COMFYUI_HOST'].some((name) => stringFrom(env, name, '') !== '');
  const looks = await Promise.all(targets.map(lookAt));
  if (isNamed)
    return { address: looks.map(({ words }) => words).join('\n                    '), env: {}, simulator: null };
  const [look] = looks;
  // Its address is not passed on: the worker discovers it again when it comes back on another port.
  if (look?.isUsable === true) return { address: look.words, env: {}, simulator: null };
  return startSimulator(request, context);
}

interface Look {
  readonly isUsable: boolean;
  /** Without credentials, which an address may carry. */
  readonly words: string;
}

async function lookAt(target: ComfyUITarget): Promise<Look> {
  try {
    const { address, version } = await discoverComfyUI(target);
    if (await isSimulator(address.baseUrl)) return { isUsable: false, words: `${address.label} (a simulator)` };
    return { isUsable: true, words: `${address.label} (ComfyUI ${version})` };
  } catch (error) {
    if (!(error instanceof NoComfyUIError)) throw error;
    const asked = candidatesOf(target).map(({ label }) => label);
    const said = error.addresses.map((answer) => answer.said).join(', ');
    return { isUsable: false, words: `${asked.join(', ')}: ${said}. Generations wait until it answers` };
  }
}

/** The simulator of another checkout is no ComfyUI to rely on: it ends with that checkout. */
async function isSimulator(baseUrl: string): Promise<boolean> {
  try {
    const response = await fetch(`${baseUrl}/simulator/faults`, { signal: AbortSignal.timeout(ASK_MS) });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    return false; // it answered a moment ago; the worker finds out what became of it
  }
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
