import { explainIdleFleet } from '../../workflows/domain/explain-idle-fleet.js';
import { withDeadline } from '../with-deadline.js';
import type { BackendDirectory, KnownBackend } from './backend-directory.js';

/** Reading a generation must not wait long for a store that is slow. */
const DEADLINE_MS = 1_500;

export interface FleetState {
  readonly busy: number;
  readonly slots: number;
  /** Those that are healthy. */
  readonly backends: readonly Pick<KnownBackend, 'backendId' | 'maxGpuJobs'>[];
  /** Why nothing can render now, `null` when something can. */
  readonly reason: string | null;
}

/** How busy the backends of a pool are, or in plain words why none of them works. Never fails. */
export async function fleetState(directory: BackendDirectory, pool: string): Promise<FleetState> {
  const known = await backendsOrNull(directory);
  if (known === null) {
    return {
      busy: 0,
      slots: 0,
      backends: [],
      reason: 'The object store does not answer, so nothing is known about the GPUs.',
    };
  }
  const ofPool = known.filter((backend) => backend.pool === pool);
  const healthy = ofPool.filter(isHealthy);
  const slots = slotsOf(healthy);
  const busy = healthy.reduce((sum, backend) => sum + Math.min(backend.queueRemaining ?? 0, backend.maxGpuJobs), 0);
  return { busy, slots, backends: healthy, reason: explainIdleFleet(ofPool, pool) };
}

/** Prompts that all healthy backends can work on at once; 0 while nobody knows. */
export async function healthySlots(directory: BackendDirectory): Promise<number> {
  const known = (await backendsOrNull(directory)) ?? [];
  return slotsOf(known.filter(isHealthy));
}

function isHealthy({ isFresh, health }: KnownBackend): boolean {
  return isFresh && health === 'healthy';
}

function slotsOf(backends: readonly KnownBackend[]): number {
  return backends.reduce((sum, { maxGpuJobs }) => sum + maxGpuJobs, 0);
}

async function backendsOrNull(directory: BackendDirectory): Promise<readonly KnownBackend[] | null> {
  try {
    return await withDeadline(DEADLINE_MS, directory.backends());
  } catch {
    return null; // decides what is said; the store's own error is shown by /readyz
  }
}
