import type { GraphReference } from '../../workflows/contracts/generation.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { readGraph } from './graph-documents.js';
import type { ObjectStore } from './object-store.js';

/** The graph of a reference; what a claim has read its submission need not. Throws as `readGraph`. */
export type GraphReader = (reference: GraphReference) => Promise<ApiGraph>;

/** Objects that are kept, the last ones read: few bytes each, also with the graphs of a batch in them. */
const KEPT = 20;

type Stored = Awaited<ReturnType<ObjectStore['readJson']>>;

export function createGraphReader(store: Pick<ObjectStore, 'readJson'>): GraphReader {
  const kept = new Map<string, Stored>();
  async function readJson(key: string): Promise<Stored> {
    const known = kept.get(key);
    if (known !== undefined) return known;
    const stored = await store.readJson(key);
    const [oldest] = kept.keys();
    if (kept.size >= KEPT && oldest !== undefined) kept.delete(oldest);
    if (stored !== null) kept.set(key, stored);
    return stored;
  }
  return async (reference) => readGraph({ readJson }, reference);
}
