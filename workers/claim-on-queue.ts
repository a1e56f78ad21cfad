import { refusedClaim } from '../activities/failures/refused-claim.js';
import type { ClaimActivities } from '../workflows/contracts/activities.js';
import type { GatedQueue } from './gated-queue.js';

/** A task of a queue from which this backend has turned away claims only where there is room. */
export function claimOnQueue(
  { discoverBackend }: ClaimActivities,
  queue: Pick<GatedQueue, 'refusal' | 'claimed'>,
): ClaimActivities {
  return {
    async discoverBackend(input) {
      const refusal = await queue.refusal();
      if (refusal !== null) throw refusedClaim(refusal);
      const claim = await discoverBackend(input);
      queue.claimed();
      return claim;
    },
  };
}
