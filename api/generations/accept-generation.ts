import type { ObjectStore } from '../../activities/storage/object-store.js';
import { canonicalSha256 } from '../../activities/storage/canonical-json.js';
import { storeFalInput, storeGraph } from '../../activities/storage/graph-documents.js';
import type { GraphReference, GraphRules } from '../../workflows/contracts/generation.js';
import type { FalRequest, NoFalRequest, ProviderMode } from '../../workflows/contracts/fal.js';
import type { BoundFal } from '../templates/bind-fal.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { inputFilesOf } from '../../workflows/domain/input-files.js';
import { needsOf } from '../../workflows/domain/capability-gaps.js';
import { heavyModelsOf } from '../../workflows/domain/heavy-models.js';
import type { RecoveryPolicy } from '../../workflows/domain/recovery-policy.js';
import type { BackendDirectory } from '../backends/backend-directory.js';
import { fleetState } from '../backends/fleet-state.js';
import type { GraphPolicy } from '../graphs/graph-policy.js';
import { judgeGraph, refuseAnyGraph } from '../graphs/judge-graph.js';
import type { Language } from '../messages/messages.js';
import { isJsonObject } from '../json-object.js';
import type { Templates } from '../templates/template.js';
import type { ResolveInputs } from '../uploads/resolve-inputs.js';
import { commitGeneration, replayOf } from './commit-generation.js';
import type { Acceptance, CommitDeps, NewGeneration } from './commit-generation.js';
import { generationLimits } from './generation-limits.js';
import type { LimitDefaults } from './generation-limits.js';
import { newGenerationId } from './new-generation-id.js';
import type { IdempotentRequest } from './idempotency.js';
import { parseGenerationRequest } from './parse-generation-request.js';
import type { AcceptableRequest } from './parse-generation-request.js';
import { recoveryPolicy } from './recovery-policy.js';
import { refuseMissingInputs } from './refuse-missing-inputs.js';
import { refuseTooLarge } from './refuse-too-large.js';
import { refuseUnknownClasses } from './refuse-unknown-classes.js';

/** Of requests that name no account: nothing is charged. */
export const NO_ACCOUNT = 'default';

export interface AcceptanceDeps extends CommitDeps {
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

export interface AcceptanceRequest {
  readonly body: unknown;
  readonly idempotencyKey: string | null;
  readonly language: Language;
}

export type AcceptGeneration = (request: AcceptanceRequest) => Promise<Acceptance>;

/** Makes a request durable: the graph into the object store first, then one transaction with everything else. */
export function createAcceptGeneration(deps: AcceptanceDeps): AcceptGeneration {
  return async function acceptGeneration({ body, idempotencyKey, language }) {
    const idempotency = idempotentRequest(body, idempotencyKey);
    const replay = idempotency === null ? null : await replayOf(deps.database, idempotency);
    if (replay !== null) return replay;
    if (isJsonObject(body) && Object.hasOwn(body, 'graph')) refuseAnyGraph(deps.graphPolicy);
    const request = await parseGenerationRequest(body, deps);
    const graphRules = request.template === 'graph' ? await judgedGraph(deps, request.graph) : null;
    const [graph, fal, fleet] = await Promise.all([
      storeGraph(deps.store, request.graph),
      storeFalRequest(deps.store, request.fal),
      fleetState(deps.directory, { pool: request.pool, needs: needsOf(request.graph, request.vramGb) }),
    ]);
    const { priority, asked, metadata, corrections, vramGb } = request;
    // A graph may name a file by its path, too, without having brought it with the request.
    const inputs = [...request.inputs, ...inputFilesOf(request.graph)];
    const { vram = [] } = deps.templates.get(request.template)?.manifest ?? {};
    const credits = request.account === null ? null : priceOf(request, deps.creditsPerGraph);
    const input = {
      ...inputOf(deps, request, graph),
      ...{ provider: request.provider ?? deps.provider, fal, models: heavyModelsOf(request.graph) },
      ...(graphRules !== null && { graphRules }),
      ...(vramGb !== null && { vramGb }),
    };
    await refuseTooLarge(deps.directory, input, vram);
    return commitGeneration(deps, {
      ...{
        input,
        inputs,
        credits,
        priority,
        asked,
        metadata,
        corrections,
        retryOf: null,
        fleet,
        idempotency,
        language,
      },
    });
  };
}

async function judgedGraph(deps: AcceptanceDeps, graph: ApiGraph): Promise<GraphRules | null> {
  const rules = judgeGraph(graph, deps.graphPolicy);
  await refuseUnknownClasses(deps.directory, graph);
  await refuseMissingInputs(deps.database, graph);
  return rules;
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

function idempotentRequest(body: unknown, key: string | null): IdempotentRequest | null {
  if (key === null) return null;
  // Not judged yet: what is no name of an account is refused later.
  const account = isJsonObject(body) && typeof body['account'] === 'string' ? body['account'] : NO_ACCOUNT;
  return { accountId: account, key, requestSha256: canonicalSha256(body) };
}

function inputOf(
  defaults: Pick<AcceptanceDeps, 'limits' | 'recovery'>,
  ...[request, graph]: [AcceptableRequest, GraphReference]
): NewGeneration['input'] {
  const { template, pool, expected } = request;
  return {
    ...{ generationId: newGenerationId(), accountId: request.account ?? NO_ACCOUNT, template, graph, pool, expected },
    limits: generationLimits(defaults.limits, request),
    recovery: recoveryPolicy(defaults.recovery, request.recovery),
  };
}
