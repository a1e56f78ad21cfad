import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../infra/runtime/project-root.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';

export const SIZE_PX = 512;
export const STEPS = 20;

const TEMPLATE = 'sd15-text-to-image';
const graphText = readFileSync(join(projectRoot, 'comfy-workflows', TEMPLATE, 'graph.json'), 'utf8');

let lastSeed = 0;

/** Every picture is another one: ComfyUI's node cache must not answer for the sampler. */
export function nextSeed(): number {
  lastSeed += 1;
  return lastSeed;
}

/** What our API is asked for. */
export function generationBody(seed: number): unknown {
  const parameters = { prompt: `a lighthouse, picture ${seed}`, width: SIZE_PX, height: SIZE_PX, steps: STEPS, seed };
  return { template: TEMPLATE, parameters };
}

/** The same as a graph, for a client that talks to ComfyUI itself. */
export function graphOf(seed: number): ApiGraph {
  const graph = JSON.parse(graphText) as Record<string, { class_type: string; inputs: Record<string, unknown> }>;
  const changes: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    '3': { seed, steps: STEPS },
    '5': { width: SIZE_PX, height: SIZE_PX },
    '6': { text: `a lighthouse, picture ${seed}` },
    '9': { filename_prefix: `direct-${seed}` },
  };
  return Object.fromEntries(
    Object.entries(graph).map(([id, node]) => [id, { ...node, inputs: { ...node.inputs, ...changes[id] } }]),
  );
}
