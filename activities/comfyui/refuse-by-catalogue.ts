import type { GraphRules } from '../../workflows/contracts/generation.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { breachInWords } from '../../workflows/domain/graph-breach.js';
import { catalogueBreaches } from '../../workflows/domain/graph-rules.js';
import { GraphRefusedError } from './errors.js';
import type { NodeCatalogue } from './node-catalogue.js';

/** Throws `GraphRefusedError` for a graph of a caller that uses what only this ComfyUI knows to be denied. */
export function refuseByCatalogue(
  graph: ApiGraph,
  ...[catalogue, { allowedClasses }]: [NodeCatalogue, GraphRules]
): void {
  const breaches = catalogueBreaches(graph, (classType) => catalogue.factsOf(classType), allowedClasses);
  if (breaches.length > 0) throw new GraphRefusedError(breaches.map(breachInWords));
}
