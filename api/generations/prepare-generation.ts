import { storeFalInputs, storeGraphs } from '../../activities/storage/graph-documents.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import type { Database } from '../../infra/postgres/database.js';
import type { FalInputReference, ProviderMode } from '../../workflows/contracts/fal.js';
import type { GraphReference, GraphRules } from '../../workflows/contracts/generation.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { heavyModelsOf } from '../../workflows/domain/heavy-models.js';
import { inputFilesOf } from '../../workflows/domain/input-files.js';
import type { RecoveryPolicy } from '../../workflows/domain/recovery-policy.js';
import type { BackendDirectory } from '../backends/backend-directory.js';
import type { GraphPolicy } from '../graphs/graph-policy.js';
import { judgeGraph, refuseAnyGraph } from '../graphs/judge-graph.js';
import { isJsonObject } from '../json-object.js';
import type { BoundFal } from '../templates/bind-fal.js';
import type { Templates } from '../templates/template.js';
import type { ResolveInputs } from '../uploads/resolve-inputs.js';
import { generationLimits } from './generation-limits.js';
import type { LimitDefaults } from './generation-limits.js';
import type { NewGeneration } from './insert-generations.js';
import { allowedPriority } from './open-limits.js';
import type { AccountLimits } from './open-limits.js';
import { parseGenerationRequest } from './parse-generation-request.js';
import type { AcceptableRequest } from './parse-generation-request.js';
import { recoveryPolicy } from './recovery-policy.js';
import { refuseMissingInputs } from './refuse-missing-inputs.js';
import { refuseTooLarge } from './refuse-too-large.js';
import { refuseUnknownClasses } from './refuse-unknown-classes.js';

/** Of requests that name no account: nothing is charged. */
export const NO_ACCOUNT = 'default';

export interface PreparationDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly templates: Templates;
  readonly resolveInputs: ResolveInputs;
  readonly directory: BackendDirectory;
  readonly limits: LimitDefaults;
  readonly recovery: RecoveryPolicy;
  readonly provider: ProviderMode;
  readonly graphPolicy: GraphPolicy;
  /** What a graph costs an account. */
  readonly creditsPerGraph: number;
}

/** A request with which nothing is wrong; nothing of it is stored yet. */
export interface JudgedRequest {
  readonly request: AcceptableRequest;
  readonly priority: number;
  readonly recovery: RecoveryPolicy;
  readonly graphRules: GraphRules | null;
}

/** Throws one `ProblemError` with everything that is wrong. */
export async function judgeRequest(
  deps: PreparationDeps,
  ...[body, account]: [unknown, AccountLimits]
): Promise<JudgedRequest> {
  if (isJsonObject(body) && Object.hasOwn(body, 'graph')) refuseAnyGraph(deps.graphPolicy);
  const request = await parseGenerationRequest(body, deps);
  const priority = allowedPriority(request.priority, account);
  const graphRules = request.template === 'graph' ? await judgedGraph(deps, request.graph) : null;
  const recovery = recoveryPolicy(deps.recovery, request.recovery);
  const { vram = [] } = deps.templates.get(request.template)?.manifest ?? {};
  await refuseTooLarge(deps.directory, { ...request, recovery }, vram);
  return { request, priority, recovery, graphRules };
}

async function judgedGraph(deps: PreparationDeps, graph: ApiGraph): Promise<GraphRules | null> {
  const rules = judgeGraph(graph, deps.graphPolicy);
  await refuseUnknownClasses(deps.directory, graph);
  await refuseMissingInputs(deps.database, graph);
  return rules;
}

/** What is too large for a row, and where it lies. */
export interface StoredDocuments {
  readonly graphs: ReadonlyMap<ApiGraph, GraphReference>;
  readonly falInputs: ReadonlyMap<BoundFal['input'], FalInputReference>;
}

/** Puts graphs and what fal is to be sent into the object store, which comes before the rows. */
export async function storeRequests(
  { store }: PreparationDeps,
  requests: readonly AcceptableRequest[],
): Promise<StoredDocuments> {
  const inputs = requests.flatMap(({ fal }) => ('reason' in fal ? [] : [fal.input]));
  const ofRequests = requests.map(({ graph }) => graph);
  const [graphs, falInputs] = await Promise.all([storeGraphs(store, ofRequests), storeFalInputs(store, inputs)]);
  return { graphs, falInputs };
}

/** Of what was judged and stored. */
export function newGeneration(
  deps: PreparationDeps,
  ...[judged, stored, generationId]: [JudgedRequest, StoredDocuments, string]
): NewGeneration {
  const { request, priority, recovery, graphRules } = judged;
  const { account, template, pool, expected, asked, metadata, corrections, vramGb, provider, fal } = request;
  return {
    input: {
      ...{ generationId, accountId: account ?? NO_ACCOUNT, template, pool, expected, recovery },
      ...{ limits: generationLimits(deps.limits, request), provider },
      graph: storedAt(stored.graphs, request.graph),
      fal: 'reason' in fal ? fal : { ...fal, input: storedAt(stored.falInputs, fal.input) },
      models: heavyModelsOf(request.graph),
      ...(graphRules !== null && { graphRules }),
      ...(vramGb !== null && { vramGb }),
    },
    // A graph may name a file by its path, too, without having brought it with the request.
    inputs: [...request.inputs, ...inputFilesOf(request.graph)],
    credits: account === null ? null : priceOf(request, deps.creditsPerGraph),
    ...{ priority, asked, metadata, corrections, retryOf: null },
  };
}

function storedAt<Document, Reference>(stored: ReadonlyMap<Document, Reference>, document: Document): Reference {
  const reference = stored.get(document);
  if (reference === undefined) throw new Error('A document of the request was not stored');
  return reference;
}

/** `null` when it is free. */
function priceOf({ creditsPerOutput, expected }: AcceptableRequest, creditsPerGraph: number): number | null {
  const credits = creditsPerOutput === null ? creditsPerGraph : creditsPerOutput * (expected.count ?? 1);
  return credits === 0 ? null : credits;
}
