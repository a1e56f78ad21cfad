import { ApplicationFailure } from '@temporalio/common';
import type { BackendActivities, ClaimActivities } from '../workflows/contracts/activities.js';
import { isFailureKind, staysOnBackend } from '../workflows/domain/failure.js';

/** The place of a generation in front of a GPU. */
interface Places {
  keep(generationId: string): void;
  drop(generationId: string): void;
}

/**
 * Keeps the place of a generation whose prompt ends in a way after which the same backend is tried again: ComfyUI has the
 * results of the nodes that ran in its cache, and the next generation in line would drive them out. A prompt that is
 * stopped because nobody wants it any more comes back to nobody. Whether the generation has tries left only its Workflow
 * knows: when it has none, the place is free after some seconds.
 */
export function keepPlaceOnFailure(activities: BackendActivities, places: Pick<Places, 'keep'>): BackendActivities {
  const watched = new Map<string, { isStopped: boolean }>();
  return {
    ...activities,
    async awaitCompletion(input) {
      const watch = { isStopped: false };
      watched.set(input.promptId, watch);
      try {
        return await activities.awaitCompletion(input);
      } catch (error) {
        if (!watch.isStopped && comesBack(error)) places.keep(input.generationId);
        throw error;
      } finally {
        if (watched.get(input.promptId) === watch) watched.delete(input.promptId);
      }
    },
    async stopPrompt(input) {
      const watch = watched.get(input.promptId);
      if (watch !== undefined) watch.isStopped = true;
      return activities.stopPrompt(input);
    },
  };
}

/** The claim by which such a generation comes back; when that does not lead here, its place is free. */
export function freePlaceWithoutClaim(
  { discoverBackend }: ClaimActivities,
  ...[backendId, places]: [string, Pick<Places, 'drop'>]
): ClaimActivities {
  return {
    async discoverBackend(input) {
      let isHere = false;
      try {
        const claim = await discoverBackend(input);
        isHere = claim.backendId === backendId;
        return claim;
      } finally {
        if (!isHere) places.drop(input.generationId);
      }
    },
  };
}

function comesBack(error: unknown): boolean {
  return error instanceof ApplicationFailure && isFailureKind(error.type) && staysOnBackend(error.type);
}
