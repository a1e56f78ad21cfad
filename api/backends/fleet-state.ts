import { NOTHING, gapsOf } from '../../workflows/domain/capability-gaps.js';
import type { Needs } from '../../workflows/domain/capability-gaps.js';
import { explainUnfitFleet } from '../../workflows/domain/explain-unfit-fleet.js';
import type { JudgedBackend } from '../../workflows/domain/explain-unfit-fleet.js';
import { withDeadline } from '../with-deadline.js';
import type { BackendDirectory, KnownBackend } from './backend-directory.js';

/** Reading a generation must not wait long for a store that is slow. */
const DEADLINE_MS = 1_500;

export interface FleetState {
  readonly busy: number;
  readonly slots: number;
  /** Those that take generations. */
  readonly backends: readonly KnownBackend[];
  /** Why nothing can render now, `null` when something can. */
  readonly reason: string | null;
}

/** What the state of a fleet is asked for. */
export interface FleetQuestion {
  readonly pool: string;
  /** Of the generation that waits; absent: of any. */
  readonly needs?: Needs;
  /** Generations that render now, by backend: reports are some seconds old. */
  readonly rendering?: ReadonlyMap<string, number>;
}

/** How busy the backends of a pool are, or in plain words why none of them renders what is asked for. Never fails. */
export async function fleetState(
  directory: BackendDirectory,
  { pool, needs = NOTHING, rendering = new Map() }: FleetQuestion,
): Promise<FleetState> {
  const judged = await judgedOrNull(directory, { pool, needs });
  if (judged === null) {
    const reason = 'The object store does not answer, so nothing is known about the GPUs.';
    return { busy: 0, slots: 0, backends: [], reason };
  }
  const taking = judged.filter(isTaking);
  const busyOf = ({ backendId, queueRemaining, maxGpuJobs }: KnownBackend): number =>
    Math.min(Math.max(queueRemaining ?? 0, rendering.get(backendId) ?? 0), maxGpuJobs);
  const busy = taking.reduce((sum, backend) => sum + busyOf(backend), 0);
  return { busy, slots: slotsOf(taking), backends: taking, reason: explainUnfitFleet(judged, pool) };
}

/** Prompts that all backends that take generations can work on at once; 0 while nobody knows. */
export async function healthySlots(directory: BackendDirectory): Promise<number> {
  try {
    return slotsOf((await withDeadline(DEADLINE_MS, directory.backends())).filter(isTaking));
  } catch {
    return 0; // decides what is estimated; the store's own error is shown by /readyz
  }
}

function isTaking({ isFresh, health, gate }: KnownBackend): boolean {
  return isFresh && health === 'healthy' && gate === 'open';
}

function slotsOf(backends: readonly KnownBackend[]): number {
  return backends.reduce((sum, { maxGpuJobs }) => sum + maxGpuJobs, 0);
}

async function judgedOrNull(
  directory: BackendDirectory,
  { pool, needs }: Required<Pick<FleetQuestion, 'pool' | 'needs'>>,
): Promise<readonly (KnownBackend & JudgedBackend)[] | null> {
  try {
    return await withDeadline(DEADLINE_MS, judged(directory, { pool, needs }));
  } catch {
    return null; // decides what is said; the store's own error is shown by /readyz
  }
}

async function judged(
  directory: BackendDirectory,
  { pool, needs }: Required<Pick<FleetQuestion, 'pool' | 'needs'>>,
): Promise<readonly (KnownBackend & JudgedBackend)[]> {
  const ofPool = (await directory.backends()).filter((backend) => backend.pool === pool);
  return Promise.all(
    ofPool.map(async (backend) => ({
      ...backend,
      gaps: gapsOf(needs, await directory.offerOf(backend)),
      isAvoided: false,
    })),
  );
}
