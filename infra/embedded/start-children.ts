import type { Env } from '../runtime/env.js';
import { integerFrom } from '../runtime/env.js';
import type { ResourceStack } from '../runtime/resource-stack.js';
import { choosePorts, DEFAULT_PORTS } from './choose-ports.js';
import { comfyUIPart } from './comfyui-part.js';
import { nodeChildSpec } from './node-child.js';
import type { NodeChild } from './node-child.js';
import { orAborted } from './or-aborted.js';
import type { ProcessContext } from './processes/process-spec.js';
import { supervise } from './processes/supervise.js';

export interface ChildrenRequest {
  readonly children: readonly NodeChild[];
  /** With the addresses of the servers. */
  readonly env: Env;
  readonly throwaway: boolean;
  readonly stop: AbortSignal;
}

/** Our own programs, ready, and where they are. */
export interface Children {
  readonly env: Env;
  readonly apiUrl: string;
  readonly comfyUIAddress: string;
  readonly isSimulated: boolean;
  readonly givenUp: readonly Promise<never>[];
}

/** A ComfyUI, then worker and API. The API and the worker are stopped before the ComfyUI they use. */
export async function startChildren(
  request: ChildrenRequest,
  context: ProcessContext,
  resources: ResourceStack,
): Promise<Children> {
  const comfyUI = await comfyUIPart(request, context);
  const { simulator } = comfyUI;
  if (simulator !== null) resources.add('simulator', simulator.stop);
  const port = await apiPort(request, context);
  const env: Env = {
    ...request.env,
    ...comfyUI.env,
    DATA_DIR: context.folder.root,
    HOST: '127.0.0.1', // some shells export HOST as the machine's name, which would open the API to the network
    PORT: `${port}`,
  };
  const supervised = request.children.map((child) => supervise(nodeChildSpec(child, env), context));
  resources.add('worker and API', async () => void (await Promise.all(supervised.map((each) => each.stop()))));
  await orAborted(Promise.all(supervised.map(({ ready }) => ready)), request.stop);
  return {
    env,
    apiUrl: `http://127.0.0.1:${port}`,
    comfyUIAddress: comfyUI.address,
    isSimulated: simulator !== null,
    givenUp: [...supervised, ...(simulator === null ? [] : [simulator])].map(({ givenUp }) => givenUp),
  };
}

async function apiPort({ env, throwaway }: ChildrenRequest, { folder, report }: ProcessContext): Promise<number> {
  const asked = integerFrom(env, 'PORT', { fallback: 0, min: 0, max: 65_535 });
  const wanted = asked === 0 ? {} : { api: asked };
  const { api } = await choosePorts(['api'], { folder, wanted, anyFree: throwaway, say: report.say });
  return api ?? DEFAULT_PORTS.api;
}
