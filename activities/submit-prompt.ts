import { setTimeout as sleep } from 'node:timers/promises';
import { cancellationSignal, log } from '@temporalio/activity';
import pLimit from 'p-limit';
import { z } from 'zod';
import type { BackendActivities, SubmitPromptInput, SubmittedPrompt } from '../workflows/contracts/activities.js';
import type { ApiGraph } from '../workflows/domain/graph.js';
import { prefixOutputs } from '../workflows/domain/prefix-outputs.js';
import type { ComfyUIBackend } from './comfyui/comfyui-backend.js';
import type { ComfyUIClient } from './comfyui/comfyui-client.js';
import { ComfyUIUnreachableError } from './comfyui/errors.js';
import { PROMPT_MARKER } from './comfyui/prompt-marker.js';
import type { PromptMarker } from './comfyui/prompt-marker.js';
import type { PromptState } from './comfyui/prompt-state.js';
import { toApplicationFailure } from './failures/to-application-failure.js';
import { heartbeatWhile } from './heartbeat-while.js';
import type { ObjectStore } from './storage/object-store.js';
import { crashPoint } from '../infra/runtime/crash-point.js';

export interface SubmitPromptDeps {
  readonly backend: ComfyUIBackend;
  readonly store: ObjectStore;
  /** Told that the submission begins; what it answers is called when it is over, with or without a prompt in the queue. */
  readonly claims: { submitting(generationId: string): () => void };
}

/** After a POST whose answer was lost ComfyUI may still be validating: the prompt can appear this much later. */
const GRACE_MS = 5_000;
const GRACE_LOOK_MS = 500;

export function createSubmitPrompt({ backend, store, claims }: SubmitPromptDeps): BackendActivities['submitPrompt'] {
  // One at a time for each backend: between looking and posting nobody else of ours may post.
  const exclusive = pLimit(1);
  /**
   * Safe to retry: the prompt id follows from generation and submission number, and it is looked for before it is
   * posted, so a prompt that survived a lost answer is found, not queued twice.
   */
  return async function submitPrompt(input) {
    const signal = cancellationSignal();
    const settled = claims.submitting(input.generationId);
    try {
      return await heartbeatWhile(async () => {
        const graph = await loadGraph(store, input);
        const state = await exclusive(async () =>
          backend.use(async (client) => ensureSubmitted({ client, input, graph, signal })),
        );
        return { state, nodeCount: Object.keys(graph).length };
      });
    } catch (error) {
      throw toApplicationFailure(error);
    } finally {
      settled();
    }
  };
}

interface Submission {
  readonly client: ComfyUIClient;
  readonly input: SubmitPromptInput;
  readonly graph: ApiGraph;
  readonly signal: AbortSignal;
}

async function ensureSubmitted({ client, input, graph, signal }: Submission): Promise<SubmittedPrompt['state']> {
  const known = await client.promptState(input.promptId, signal);
  if (known.status !== 'absent') return stateOf(known);
  signal.throwIfAborted();
  try {
    await client.submit(
      {
        graph: prefixOutputs(graph, input.generationId, input.submission),
        promptId: input.promptId,
        extraData: { [PROMPT_MARKER]: markerOf(input) },
      },
      signal,
    );
  } catch (error) {
    if (!(error instanceof ComfyUIUnreachableError) || signal.aborted) throw error;
    return await lookAgain({ client, input, graph, signal }, error);
  }
  crashPoint('submitPrompt.mid');
  log.info('Submitted a prompt', { promptId: input.promptId, submission: input.submission });
  return stateOf(await client.promptState(input.promptId, signal));
}

function markerOf({ generationId, submission }: SubmitPromptInput): PromptMarker {
  return { generationId, submission };
}

/** The outcome of the POST is unknown: the prompt is looked for until the grace period is over. */
async function lookAgain(
  { client, input, signal }: Submission,
  cause: ComfyUIUnreachableError,
): Promise<SubmittedPrompt['state']> {
  const deadline = performance.now() + GRACE_MS;
  while (performance.now() < deadline) {
    const state = await client.promptState(input.promptId, signal);
    if (state.status !== 'absent') return stateOf(state);
    await sleep(GRACE_LOOK_MS, undefined, { signal });
  }
  throw cause;
}

/** `finished` for every end: how it ended is for `awaitCompletion` to say. */
function stateOf({ status }: PromptState): SubmittedPrompt['state'] {
  return status === 'running' || status === 'pending' ? status : 'finished';
}

const graphSchema = z.record(
  z.string(),
  z.looseObject({ class_type: z.string(), inputs: z.record(z.string(), z.unknown()) }),
);

async function loadGraph(store: ObjectStore, { graph }: SubmitPromptInput): Promise<ApiGraph> {
  const stored = await store.readJson(graph.key);
  if (stored === null) throw new Error(`The graph ${graph.key} is not in the object store: was it deleted?`);
  return graphSchema.parse(stored.value);
}
