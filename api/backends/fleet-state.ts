import { explainIdleFleet } from '../../workflows/domain/explain-idle-fleet.js';
import { withDeadline } from '../with-deadline.js';
import type { BackendDirectory, KnownBackend } from './backend-directory.js';

/** Reading a generation must not wait long for a store that is slow. */
const DEADLINE_MS = 1_500;

export interface FleetState {
  readonly busy: number;
  readonly slots: number;
  /** Why nothing can render now, `null` when something can. */
  readonly reason: string | null;
}

/** How busy the backends of a pool are, or in plain words why none of them works. Never fails. */
export async function fleetState(directory: BackendDirectory, pool: string): Promise<FleetState> {
  const known = await backendsOrNull(directory);
  if (known === null) {
    return { busy: 0, slots: 0, reason: 'The object store does not answer, so nothing is known about the GPUs.' };
  }
  const ofPool = known.filter((backend) => backend.pool === pool);
  const healthy = ofPool.filter(({ isFresh, health }) => isFresh && health === 'healthy');
  const slots = healthy.reduce((sum, { maxGpuJobs }) => sum + maxGpuJobs, 0);
  const busy = healthy.reduce((sum, backend) => sum + Math.min(backend.queueRemaining ?? 0, backend.maxGpuJobs), 0);
  return { busy, slots, reason: explainIdleFleet(ofPool, pool) };
}

async function backendsOrNull(directory: BackendDirectory): Promise<readonly KnownBackend[] | null> {
  try {
    return await withDeadline(DEADLINE_MS, directory.backends());
  } catch {
    return null; // decides what is said; the store's own error is shown by /readyz
  }
}
