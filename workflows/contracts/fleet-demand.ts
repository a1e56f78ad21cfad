/** Object keys of what control workers publish about the work that waits; GPU workers, who have no database, read them. */
export const FLEET_DEMAND_PREFIX = 'fleet/demand/';

/** `fleet/demand/<pool>.json` */
export function fleetDemandKey(pool: string): string {
  return `${FLEET_DEMAND_PREFIX}${pool}.json`;
}

/** While something waits the document is renewed this often; one that no longer changes says nothing. */
export const FLEET_DEMAND_RENEW_MS = 5_000;

/** What waits in one gated Task Queue. */
export interface QueueDemand {
  readonly taskQueue: string;
  /** Heavy models of everything in it. */
  readonly models: readonly string[];
  /** Generations that Temporal knows and that have not begun to render. */
  readonly waiting: number;
  /** 1 before 5. */
  readonly topPriority: number;
  /** Of those with the best priority: when the first was accepted, milliseconds since the epoch. */
  readonly oldestAcceptedAtMs: number;
  /** Of the accounts that wait with the best priority: the fewest generations that any has on GPUs now. */
  readonly leastServed: number;
  /** A live backend of the pool has all the models, as far as is known. */
  readonly isOffered: boolean;
  /** Backends whose claims come from here. */
  readonly polledBy: readonly string[];
}

/** What waits in one pool, as of one look at the database. */
export interface FleetDemand {
  readonly computedAtMs: number;
  readonly queues: readonly QueueDemand[];
}
