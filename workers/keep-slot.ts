import { ApplicationFailure } from '@temporalio/common';
import type { BackendActivities, ClaimActivities } from '../workflows/contracts/activities.js';
import { isFailureKind, staysOnBackend } from '../workflows/domain/failure.js';

/**
 * Keeps the place of a generation whose activity fails in a way after which the same backend is tried again: ComfyUI has
 * the results of the nodes that ran in its cache, and the next generation in line would drive them out.
 */
export function keepSlotOnFailure(
  activities: BackendActivities,
  slots: { keep(generationId: string): void },
): BackendActivities {
  const keeping =
    <Input extends { readonly generationId: string }, Result>(activity: (input: Input) => Promise<Result>) =>
    async (input: Input): Promise<Result> => {
      try {
        return await activity(input);
      } catch (error) {
        if (isFinal(error) && isFailureKind(error.type) && staysOnBackend(error.type)) slots.keep(input.generationId);
        throw error;
      }
    };
  return {
    ...activities,
    submitPrompt: keeping(activities.submitPrompt),
    awaitCompletion: keeping(activities.awaitCompletion),
    downloadOutputs: keeping(activities.downloadOutputs),
    validateOutputs: keeping(activities.validateOutputs),
  };
}

/** The claim by which such a generation comes back; when that fails, its place is free. */
export function freeSlotOnFailure(
  { discoverBackend }: ClaimActivities,
  slots: { drop(generationId: string): void },
): ClaimActivities {
  return {
    async discoverBackend(input) {
      try {
        return await discoverBackend(input);
      } catch (error) {
        slots.drop(input.generationId);
        throw error;
      }
    },
  };
}

function isFinal(error: unknown): error is ApplicationFailure {
  return error instanceof ApplicationFailure && error.nonRetryable === true;
}
