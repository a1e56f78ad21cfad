import { ApplicationFailure } from '@temporalio/common';
import { expect, test } from '@jest/globals';
import { freePlaceWithoutClaim, keepPlaceOnFailure } from '../../workers/keep-place.js';
import type {
  AwaitCompletionInput,
  BackendActivities,
  BackendClaim,
  DiscoverBackendInput,
} from '../../workflows/contracts/activities.js';
import type { FailureKind } from '../../workflows/domain/failure.js';

const WATCHED = { generationId: 'g-1', promptId: 'p-1' } as AwaitCompletionInput;

/** Watches a prompt that ends in this way; answers which places were kept. */
function watching(kind: FailureKind) {
  const kept: string[] = [];
  let end: () => void = () => undefined;
  const activities = keepPlaceOnFailure(
    {
      awaitCompletion: async () =>
        new Promise((_, reject) => {
          end = () => {
            reject(ApplicationFailure.create({ type: kind, message: 'over', nonRetryable: true }));
          };
        }),
      stopPrompt: async () => ({ outcome: 'interrupted' }),
    } as Partial<BackendActivities> as BackendActivities,
    { keep: (generationId) => kept.push(generationId) },
  );
  const watched = activities.awaitCompletion(WATCHED).catch(() => undefined);
  return {
    ...{ activities, kept },
    over: async () => {
      end();
      await watched;
    },
  };
}

test.each<[FailureKind, readonly string[]]>([
  ['INTERRUPTED', ['g-1']],
  ['PROMPT_LOST', ['g-1']],
  ['UNEXPECTED', []],
  ['BACKEND_CRASHED', []],
  ['WORKFLOW_ERROR', []],
])('a prompt that ends with %s keeps the places %j', async (kind, places) => {
  const { kept, over } = watching(kind);
  await over();
  expect(kept).toEqual(places);
});

test('a prompt that we stop ourselves is wanted by nobody: its place is not kept', async () => {
  const { activities, kept, over } = watching('INTERRUPTED');
  await activities.stopPrompt({ promptId: 'p-1' });
  await over();
  expect(kept).toEqual([]);
});

test('stopping another prompt changes nothing', async () => {
  const { activities, kept, over } = watching('INTERRUPTED');
  await activities.stopPrompt({ promptId: 'p-2' });
  await over();
  expect(kept).toEqual(['g-1']);
});

test.each([
  ['leads here', async () => ({ backendId: 'gpu-1' }), []],
  ['leads to another backend', async () => ({ backendId: 'gpu-2' }), ['g-1']],
  ['fails', async () => Promise.reject(new Error('refused')), ['g-1']],
] as const)('a claim that %s frees the places %j', async (_, answer, places) => {
  const dropped: string[] = [];
  const discoverBackend = async (): Promise<BackendClaim> => (await answer()) as BackendClaim;
  const claims = freePlaceWithoutClaim({ discoverBackend }, 'gpu-1', { drop: (id) => dropped.push(id) });
  await claims.discoverBackend({ generationId: 'g-1' } as DiscoverBackendInput).catch(() => undefined);
  expect(dropped).toEqual(places);
});
