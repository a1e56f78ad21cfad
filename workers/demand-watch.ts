import { readFleetDemand } from '../activities/storage/fleet-demand.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import { untilAborted } from '../activities/until-aborted.js';
import type { Logger } from '../infra/runtime/logger.js';
import { FLEET_DEMAND_RENEW_MS } from '../workflows/contracts/fleet-demand.js';
import type { QueueDemand } from '../workflows/contracts/fleet-demand.js';

export interface DemandWatchOptions {
  readonly store: Pick<ObjectStore, 'readJson'>;
  readonly pool: string;
  readonly logger: Logger;
}

/** A claim waits for this read: a store that is slower than this is not waited for. */
const READ_MS = 500;
/** Nobody renews it: the control workers are away, and what it says is no longer so. By our own clock, whatever theirs say. */
const OLD_AFTER_MS = 3 * FLEET_DEMAND_RENEW_MS;

/** What waits in the queues of one pool, as control workers publish it. Never fails: what cannot be read is not there. */
export class DemandWatch {
  readonly #options: DemandWatchOptions;
  #queues: readonly QueueDemand[] = [];
  #computedAtMs = Number.NEGATIVE_INFINITY;
  #changedAtMs = Number.NEGATIVE_INFINITY;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | null = null;
  #isFailing = false;

  constructor(options: DemandWatchOptions) {
    this.#options = options;
  }

  /** Not older than `maxAgeMs`, where the store answers; empty where nothing waits or nobody says so. */
  async queues(maxAgeMs: number): Promise<readonly QueueDemand[]> {
    if (performance.now() - this.#readAtMs > maxAgeMs) {
      this.#reading ??= this.#read().finally(() => (this.#reading = null));
      await this.#reading;
    }
    return performance.now() - this.#changedAtMs > OLD_AFTER_MS ? [] : this.#queues;
  }

  async #read(): Promise<void> {
    const { store, pool, logger } = this.#options;
    try {
      const demand = await untilAborted(AbortSignal.timeout(READ_MS), readFleetDemand(store, pool));
      if (demand !== null && demand.computedAtMs !== this.#computedAtMs) {
        this.#queues = demand.queues;
        this.#computedAtMs = demand.computedAtMs;
        this.#changedAtMs = performance.now();
      }
      this.#isFailing = false;
    } catch (error) {
      logger[this.#isFailing ? 'debug' : 'warn']({ err: error, pool }, 'What waits for GPUs could not be read');
      this.#isFailing = true;
    }
    this.#readAtMs = performance.now();
  }
}
