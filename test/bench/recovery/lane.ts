import type { ResourceStack } from '../../../infra/runtime/resource-stack.js';
import { startService } from '../../support/service.js';
import type { Service } from '../../support/service.js';
import type { TestServers } from '../../support/stack.js';
import { until } from '../../support/until.js';
import { Backend } from './backend.js';

/** Time for arming a fault between the answer of the service and the prompt at ComfyUI. */
const HOLD_MS = 500;
const READY_WITHIN_MS = 90_000;
const QUARANTINE_WITHIN_MS = 20_000;
const BACKENDS = 2;

/** A service of its own with two GPUs, on which one fault happens at a time. */
export interface Lane {
  readonly service: Service;
  readonly backends: readonly Backend[];
  /** Everything as if nothing had happened, with cards of this size; `null`: there is always enough. */
  readonly prepare: (cardGib: number | null) => Promise<void>;
  /** On every ComfyUI. */
  readonly arm: (fault: object) => Promise<void>;
  /** Restarts the ComfyUI of the one that is in quarantine, as somebody must; `false` when none is. */
  readonly restartQuarantined: () => Promise<boolean>;
}

export interface LaneOptions {
  readonly name: string;
  readonly servers: TestServers;
  readonly resources: ResourceStack;
  readonly secondsPerStep: number;
  readonly env: Readonly<Record<string, string>>;
  readonly random: () => number;
}

export async function startLane(options: LaneOptions): Promise<Lane> {
  const { name, servers, resources, secondsPerStep, env, random } = options;
  const backends: Backend[] = [];
  for (let number = 1; number <= BACKENDS; number += 1) {
    const backend = await Backend.start({ id: `${name}-${number}`, secondsPerStep, random });
    resources.add(backend.id, async () => backend.stop());
    backends.push(backend);
  }
  const service = await startService({
    servers,
    comfyUrls: backends.map(({ comfyUrl }) => comfyUrl),
    env: { ...env, WORKER_ROLES: 'control' },
  });
  resources.add(`service of ${name}`, async () => service.endUnchecked());
  for (const backend of backends) await backend.startWorker(service);

  const onAll = async (action: (backend: Backend) => Promise<void>) => {
    for (const backend of backends) await action(backend);
  };
  return {
    service,
    backends,
    prepare: async (cardGib) => {
      await onAll(async (backend) => {
        await backend.untilUp();
        await backend.clearFaults();
        await backend.post('/simulator/vram', { gib: cardGib });
        await backend.post('/free', { free_memory: true, unload_models: true });
        const hold = { kind: 'slow_rest', path: '/prompt', method: 'POST', delayMs: HOLD_MS, count: 1_000_000 };
        await backend.post('/simulator/faults', hold);
      });
      await until('all backends take generations', async () => areReady(service, backends), READY_WITHIN_MS);
    },
    restartQuarantined: async () => {
      const closed = await until(
        'a backend is in quarantine',
        async () => (await backendsOf(service)).find(({ gate }) => gate === 'closed'),
        QUARANTINE_WITHIN_MS,
      ).catch(() => null);
      await backends.find(({ id }) => id === closed?.backendId)?.restartComfyui();
      return closed !== null;
    },
    arm: async (fault) => onAll(async (backend) => backend.post('/simulator/faults', fault)),
  };
}

async function areReady(service: Service, expected: readonly Backend[]): Promise<boolean> {
  const seen = await backendsOf(service);
  if (
    seen.filter(({ state, health, gate }) => state === 'fresh' && health === 'healthy' && gate === 'open').length <
    expected.length
  )
    return false;
  const queues = await Promise.all(expected.map(async (backend) => backend.queueRemaining()));
  return queues.every((remaining) => remaining === 0);
}

interface SeenBackend {
  readonly backendId: string;
  readonly state: string;
  readonly health: string;
  readonly gate: string;
}

async function backendsOf({ apiUrl }: Service): Promise<readonly SeenBackend[]> {
  const answer = (await (await fetch(`${apiUrl}/v1/backends`)).json()) as { readonly backends: readonly SeenBackend[] };
  return answer.backends;
}
