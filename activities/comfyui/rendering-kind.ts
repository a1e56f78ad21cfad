import { createHash } from 'node:crypto';
import type { ApiGraph, GraphNode } from '../../workflows/domain/graph.js';

/** What a graph says about how long it will render. */
export interface RenderingKind {
  /** Equal for graphs that differ only in their texts, seeds and file names: those take equally long. */
  readonly id: string;
  /** Nodes that are expected to sample, which is where the time goes. */
  readonly samplerIds: readonly string[];
}

const IGNORED_INPUTS = ['text', 'seed', 'noise_seed', 'filename_prefix'];
/** Names of models and samplers have neither blanks nor this length; what people write has one or the other. */
const MAX_NAME_CHARS = 64;

export function renderingKindOf(graph: ApiGraph): RenderingKind {
  const nodes = Object.entries(graph).sort(([one], [other]) => (one < other ? -1 : 1));
  const shape = nodes.map(([nodeId, node]) => [nodeId, node.class_type, decisiveInputsOf(node)]);
  return {
    id: createHash('sha256').update(JSON.stringify(shape)).digest('hex'),
    samplerIds: nodes.filter(([, node]) => node.class_type.includes('Sampler')).map(([nodeId]) => nodeId),
  };
}

function decisiveInputsOf({ inputs }: GraphNode): readonly (readonly [string, unknown])[] {
  return Object.entries(inputs)
    .filter(([name, value]) => !IGNORED_INPUTS.includes(name) && !isText(value))
    .sort(([one], [other]) => (one < other ? -1 : 1));
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && (/\s/.test(value) || value.length > MAX_NAME_CHARS || value === '');
}
