import type { QueueChoice } from '../domain/choose-queue.js';

/** Object keys of what control workers publish about the work that waits; GPU workers, who have no database, read them. */
export const FLEET_DEMAND_PREFIX = 'fleet/demand/';

/** `fleet/demand/<pool>.json` */
export function fleetDemandKey(pool: string): string {
  return `${FLEET_DEMAND_PREFIX}${pool}.json`;
}

/** While something waits the document is renewed this often; one that no longer changes says nothing. */
export const FLEET_DEMAND_RENEW_MS = 5_000;

/** What waits in one gated Task Queue: all that the choice of a queue needs. */
export type QueueDemand = QueueChoice;

/** What waits in one pool, as of one look at the database. */
export interface FleetDemand {
  readonly computedAtMs: number;
  readonly queues: readonly QueueDemand[];
}
