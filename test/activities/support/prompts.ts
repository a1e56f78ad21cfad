import type { SubmitPromptInput } from '../../../workflows/contracts/activities.js';
import type { ApiGraph } from '../../../workflows/domain/graph.js';
import { promptIdOf } from '../../../activities/comfyui/prompt-id.js';
import { textToImage } from '../../simulator/graphs.js';
import type { TextToImage } from '../../simulator/graphs.js';
import { uniqueName } from '../../support/stack.js';
import { clientAt } from './activity-world.js';

const SHA256 = 'a'.repeat(64);
/** Where the graph of a test lies, alone. */
export const GRAPH_REFERENCE = { key: `graphs/${SHA256}.json`, sha256: SHA256 };

export function buildSubmission(facts: Partial<SubmitPromptInput> = {}): SubmitPromptInput {
  const generationId = facts.generationId ?? uniqueName('generation');
  const submission = facts.submission ?? 1;
  return {
    generationId,
    submission,
    promptId: promptIdOf(generationId, submission),
    graph: GRAPH_REFERENCE,
    ...facts,
  };
}

export function buildGraph(options: TextToImage = {}): ApiGraph {
  return textToImage(options);
}

/** Queues a prompt as `submitPrompt` would, without its activity. */
export async function queued(url: string, graph: ApiGraph, promptId = promptIdOf(uniqueName('generation'), 1)) {
  await clientAt(url).submit({ graph, promptId, extraData: {} });
  return promptId;
}
