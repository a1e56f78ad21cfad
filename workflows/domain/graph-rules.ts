import { categoryBreaches, classBreaches } from './class-rules.js';
import type { ClassFacts, ClassLists } from './class-rules.js';
import { uploadBreaches, valueBreaches } from './file-values.js';
import type { ApiGraph } from './graph.js';
import type { GraphBreach } from './graph-breach.js';
import { shapeBreaches } from './graph-shape.js';

/** What graphs may be brought: none, those that keep the rules, any. */
export const GRAPH_MODES = ['templates', 'graph-restricted', 'graph-trusted'] as const;
export type GraphMode = (typeof GRAPH_MODES)[number];

/** Everything that is wrong with a graph as its caller sent it, as far as no ComfyUI is needed to say so. */
export function graphBreaches(graph: ApiGraph, mode: GraphMode, lists: ClassLists): readonly GraphBreach[] {
  const shape = shapeBreaches(graph);
  if (mode === 'graph-trusted') return shape;
  return [...shape, ...classBreaches(graph, lists), ...valueBreaches(graph, lists.allowed)];
}

/** What a ComfyUI's catalogue adds to it. */
export function catalogueBreaches(
  graph: ApiGraph,
  ...[factsOf, allowed]: [(classType: string) => ClassFacts | null, readonly string[]]
): readonly GraphBreach[] {
  return [...categoryBreaches(graph, factsOf, allowed), ...uploadBreaches(graph, factsOf, allowed)];
}
