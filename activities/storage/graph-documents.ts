import { z } from 'zod';
import type { FalInputReference } from '../../workflows/contracts/fal.js';
import type { GraphReference } from '../../workflows/contracts/generation.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import type { ObjectStore } from './object-store.js';
import { readDocument, storeDocument, storeDocuments } from './stored-documents.js';

const GRAPH_FOLDER = 'graphs';
const FAL_INPUT_FOLDER = 'fal-inputs';

const graphSchema = z.record(
  z.string(),
  z.looseObject({ class_type: z.string(), inputs: z.record(z.string(), z.unknown()) }),
);
const falInputSchema = z.record(z.string(), z.unknown());

type FalInput = Readonly<Record<string, unknown>>;

/** The graph of a reference; throws when it is not there any more. */
export async function readGraph(store: Pick<ObjectStore, 'readJson'>, reference: GraphReference): Promise<ApiGraph> {
  const document = await readDocument(store, reference);
  if (document === undefined) throw new Error(`The graph ${reference.key} is not in the object store: was it deleted?`);
  return graphSchema.parse(document);
}

export async function storeGraph(store: ObjectStore, graph: ApiGraph): Promise<GraphReference> {
  return storeDocument(store, GRAPH_FOLDER, graph);
}

/** For each graph where it lies. */
export async function storeGraphs(
  store: ObjectStore,
  graphs: readonly ApiGraph[],
): Promise<ReadonlyMap<ApiGraph, GraphReference>> {
  return storeDocuments(store, GRAPH_FOLDER, graphs);
}

/** What a model on fal.ai is to be sent; throws when it is not there any more. */
export async function readFalInput(
  store: Pick<ObjectStore, 'readJson'>,
  reference: FalInputReference,
): Promise<FalInput> {
  const document = await readDocument(store, reference);
  if (document === undefined) throw new Error(`The input ${reference.key} is not in the object store: was it deleted?`);
  return falInputSchema.parse(document);
}

/** For each input where it lies. */
export async function storeFalInputs(
  store: ObjectStore,
  inputs: readonly FalInput[],
): Promise<ReadonlyMap<FalInput, FalInputReference>> {
  return storeDocuments(store, FAL_INPUT_FOLDER, inputs);
}
