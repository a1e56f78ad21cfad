import { promptIdOf } from '../../activities/comfyui/prompt-id.js';
import type { SimulatorProcess } from './simulator-process.js';

/** Submissions of one generation that are looked for. */
const SUBMISSIONS = [1, 2, 3, 4];

/** Which of these generations a simulator has begun to render, in this order; one that began twice stands there twice. */
export function renderedOn(simulator: SimulatorProcess, generationIds: readonly string[]): readonly string[] {
  const ids = new Map(
    generationIds.flatMap((id) => SUBMISSIONS.map((number) => [promptIdOf(id, number), id] as const)),
  );
  return simulator.journal().flatMap(({ event, promptId }) => {
    const id = event === 'rendering_started' ? ids.get(promptId ?? '') : undefined;
    return id === undefined ? [] : [id];
  });
}

/** How often a checkpoint was loaded: one that is in memory already is a node that is cached. */
export function loadsOf(simulator: SimulatorProcess): number {
  return simulator
    .journal()
    .filter(({ event, nodeType }) => event === 'node_executed' && nodeType === 'CheckpointLoaderSimple').length;
}
