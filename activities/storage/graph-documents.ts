import { z } from 'zod';
import type { FalInputReference } from '../../workflows/contracts/fal.js';
import type { GraphReference } from '../../workflows/contracts/generation.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { canonical, canonicalSha256 } from './canonical-json.js';
import type { ObjectStore } from './object-store.js';

const GRAPH_FOLDER = 'graphs';

const graphSchema = z.record(
  z.string(),
  z.looseObject({ class_type: z.string(), inputs: z.record(z.string(), z.unknown()) }),
);

/** The graph of a reference; throws when it is not there any more. */
export async function readGraph(
  store: Pick<ObjectStore, 'readJson'>,
  { key }: Pick<GraphReference, 'key'>,
): Promise<ApiGraph> {
  const stored = await store.readJson(key);
  if (stored === null) throw new Error(`The graph ${key} is not in the object store: was it deleted?`);
  return graphSchema.parse(stored.value);
}

/** Where the graph with this hash lies. */
export function graphReferenceOf(sha256: string): GraphReference {
  return { key: `${GRAPH_FOLDER}/${sha256}.json`, sha256 };
}

/** Under its own hash: the same graph is stored once, and never changes. */
export async function storeGraph(store: ObjectStore, graph: ApiGraph): Promise<GraphReference> {
  return storeUnderHash(store, GRAPH_FOLDER, graph);
}

/** What a model on fal.ai is to be sent, in the same way. */
export async function storeFalInput(
  store: ObjectStore,
  input: Readonly<Record<string, unknown>>,
): Promise<FalInputReference> {
  return storeUnderHash(store, 'fal-inputs', input);
}

async function storeUnderHash(
  store: ObjectStore,
  ...[folder, document]: [string, object]
): Promise<{ readonly key: string; readonly sha256: string }> {
  const sha256 = canonicalSha256(document);
  const key = `${folder}/${sha256}.json`;
  await store.writeJson(key, canonical(document), { kind: 'absent' }); // refused: the same is there already
  return { key, sha256 };
}
