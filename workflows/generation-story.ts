import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { GenerationInput, GenerationProgress } from './contracts/generation.js';
import { searchAttributeKeys } from './contracts/search-attributes.js';
import type { FailureKind } from './domain/failure.js';

const PHASE_WORDS = {
  waiting: 'waiting for a GPU',
  submitting: 'handing the graph to ComfyUI',
  pending: 'next in the queue of its ComfyUI',
  rendering: 'rendering',
  collecting: 'fetching, checking and storing the outputs',
  recording: 'recording the outcome',
  ended: 'ended',
} as const satisfies Record<GenerationProgress['phase'], string>;

/** Current details in the Web UI: where the generation is, and what was recovered on the way. */
export function tellStory(input: GenerationInput, progress: GenerationProgress): void {
  const recoveries = progress.recoveries.map(({ attempt, kind, message }) => `${attempt}. \`${kind}\` ${message}`);
  const { abandonedRenderings: abandoned, fallbackObstacle: obstacle } = progress;
  const lines = [
    `**${progress.status}**: ${PHASE_WORDS[progress.phase]}`,
    `Template \`${input.template}\``,
    ...(progress.backendId === null ? [] : [`Backend \`${progress.backendId}\`, submission ${progress.submission}`]),
    ...(progress.promptId === null ? [] : [`ComfyUI prompt \`${progress.promptId}\``]),
    ...(abandoned === 0 ? [] : [`Renderings abandoned with a lost backend: ${abandoned}`]),
    ...(obstacle === undefined || progress.phase !== 'waiting' ? [] : [`Cannot auto-fallback: ${obstacle}`]),
    ...(recoveries.length === 0 ? [] : [`Recoveries:\n${recoveries.join('\n')}`]),
  ];
  setCurrentDetails(lines.join('\n\n'));
}

/** At most three upserts a generation: the first rendering, the first recovery, the end. Each is an event for ever. */
export function publishStatus(progress: GenerationProgress, failureKind: FailureKind | null): void {
  // A cluster that allows no custom attributes starts us without; an upsert would then fail the Workflow Task for ever.
  if (workflowInfo().typedSearchAttributes.get(searchAttributeKeys.generationStatus) === undefined) return;
  const { generationStatus, backendId, attempts, failureKind: kind } = searchAttributeKeys;
  upsertSearchAttributes([
    { key: generationStatus, value: progress.status },
    { key: attempts, value: progress.submission },
    ...(progress.backendId === null ? [] : [{ key: backendId, value: progress.backendId }]),
    ...(failureKind === null ? [] : [{ key: kind, value: failureKind }]),
  ]);
}
