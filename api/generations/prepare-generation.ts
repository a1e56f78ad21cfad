import { storeFalInput, storeGraph } from '../../activities/storage/graph-documents.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import type { Database } from '../../infra/postgres/database.js';
import type { FalRequest, NoFalRequest, ProviderMode } from '../../workflows/contracts/fal.js';
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
  return { request, priority, graphRules };
}

async function judgedGraph(deps: PreparationDeps, graph: ApiGraph): Promise<GraphRules | null> {
  const rules = judgeGraph(graph, deps.graphPolicy);
  await refuseUnknownClasses(deps.directory, graph);
  await refuseMissingInputs(deps.database, graph);
  return rules;
}

/** Puts the graph into the object store, which comes before the rows. */
export async function storeRequest(
  deps: PreparationDeps,
  ...[{ request, priority, graphRules }, generationId]: [JudgedRequest, string]
): Promise<NewGeneration> {
  const [graph, fal] = await Promise.all([
    storeGraph(deps.store, request.graph),
    storeFalRequest(deps.store, request.fal),
  ]);
  const { asked, metadata, corrections, vramGb } = request;
  // A graph may name a file by its path, too, without having brought it with the request.
  const inputs = [...request.inputs, ...inputFilesOf(request.graph)];
  const { vram = [] } = deps.templates.get(request.template)?.manifest ?? {};
  const input = {
    ...{ ...inputOf(deps, request, graph), generationId, provider: request.provider ?? deps.provider, fal },
    models: heavyModelsOf(request.graph),
    ...(graphRules !== null && { graphRules }),
    ...(vramGb !== null && { vramGb }),
  };
  await refuseTooLarge(deps.directory, input, vram);
  const credits = request.account === null ? null : priceOf(request, deps.creditsPerGraph);
  return { input, inputs, credits, priority, asked, metadata, corrections, retryOf: null };
}

/** `null` when it is free. */
function priceOf({ creditsPerOutput, expected }: AcceptableRequest, creditsPerGraph: number): number | null {
  const credits = creditsPerOutput === null ? creditsPerGraph : creditsPerOutput * (expected.count ?? 1);
  return credits === 0 ? null : credits;
}

async function storeFalRequest(store: ObjectStore, bound: BoundFal | NoFalRequest): Promise<FalRequest | NoFalRequest> {
  if ('reason' in bound) return bound;
  return { ...bound, input: await storeFalInput(store, bound.input) };
}

function inputOf(
  defaults: Pick<PreparationDeps, 'limits' | 'recovery'>,
  ...[request, graph]: [AcceptableRequest, GraphReference]
): Omit<NewGeneration['input'], 'generationId'> {
  const { template, pool, expected } = request;
  return {
    ...{ accountId: request.account ?? NO_ACCOUNT, template, graph, pool, expected },
    limits: generationLimits(defaults.limits, request),
    recovery: recoveryPolicy(defaults.recovery, request.recovery),
  };
}
