import type { GraphReference } from '../../workflows/contracts/generation.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { readGraph } from './graph-documents.js';
import type { ObjectStore } from './object-store.js';

/** The graph of a reference, the last ones kept: what a claim has read its submission need not. Throws as `readGraph`. */
export type GraphReader = (reference: GraphReference) => Promise<ApiGraph>;

const KEPT = 20;

export function createGraphReader(store: Pick<ObjectStore, 'readJson'>): GraphReader {
  const kept = new Map<string, ApiGraph>();
  return async function readKeptGraph(reference) {
    const known = kept.get(reference.sha256);
    if (known !== undefined) return known;
    const graph = await readGraph(store, reference);
    const [oldest] = kept.keys();
    if (kept.size >= KEPT && oldest !== undefined) kept.delete(oldest);
    kept.set(reference.sha256, graph);
    return graph;
  };
}
