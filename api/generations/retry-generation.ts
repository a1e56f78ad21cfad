import { canonicalSha256 } from '../../activities/storage/canonical-json.js';
import { readResumption } from '../../activities/database/resumption.js';
import type { Database } from '../../infra/postgres/database.js';
import { readGraph } from '../../activities/storage/graph-documents.js';
import type { GenerationInput } from '../../workflows/contracts/generation.js';
import { isTerminal } from '../../workflows/domain/generation-status.js';
import { judgeGraph } from '../graphs/judge-graph.js';
import type { Language } from '../messages/messages.js';
import { ProblemError } from '../problem-error.js';
import type { AcceptanceDeps } from './accept-generation.js';
import { commitGeneration, replayOf } from './commit-generation.js';
import type { Acceptance, CommitDeps } from './commit-generation.js';
import type { GenerationFile } from './insert-generations.js';
import { newGenerationId } from './new-generation-id.js';
import { readAccountLimits } from './open-limits.js';

export interface RetryRequest {
  readonly id: string;
  readonly idempotencyKey: string | null;
  readonly language: Language;
  /** One that has a result is rendered once more, too. */
  readonly isForced?: boolean;
}

/** `null`: there is none of that id. */
export type RetryGeneration = (request: RetryRequest) => Promise<Acceptance | null>;

/** A new generation with the graph, the limits and the policy of one that has ended. */
export function createRetryGeneration(
  deps: CommitDeps & Pick<AcceptanceDeps, 'store' | 'graphPolicy'>,
): RetryGeneration {
  return async function retryGeneration({ id, idempotencyKey: key, language, isForced = false }) {
    const row = await deps.database.selectFrom('generations').selectAll().where('id', '=', id).executeTakeFirst();
    if (row === undefined) return null;
    const { status, account_id: accountId, credits, asked, metadata, workflow_input: earlier } = row;
    const requestSha256 = canonicalSha256({ retryOf: id, ...(isForced && { isForced }) });
    const idempotency = key === null ? null : { accountId, key, requestSha256 };
    const replay = idempotency === null ? null : await replayOf(deps.database, idempotency);
    if (replay !== null) return replay;
    if (!isTerminal(status) || (status === 'COMPLETED' && !isForced)) {
      throw new ProblemError('generation_not_failed', `Generation ${id} is ${status}.`);
    }
    const limits = await readAccountLimits(deps.database, accountId, deps.openLimits);
    const corrections = row.corrections.filter(({ node }) => node === null);
    const input = await inputOfRetry(deps, { id, earlier });
    const inputs = await inputsOf(deps.database, id);
    const priority = Math.max(row.priority, limits.bestPriority); // what the account may use can have changed since
    const again = { input, inputs, credits, priority, asked, metadata, corrections, retryOf: id };
    return commitGeneration(deps, again, { limits, idempotency, language });
  };
}

async function inputsOf(database: Database, generationId: string): Promise<readonly GenerationFile[]> {
  const rows = await database
    .selectFrom('generation_inputs')
    .select(['sha256', 'object_key'])
    .where('generation_id', '=', generationId)
    .execute();
  return rows.map(({ sha256, object_key: objectKey }) => ({ sha256, objectKey }));
}

/** The same again under another id, going on from what the one before has left. Throws when its graph is not taken any more. */
export async function inputOfRetry(
  deps: Pick<AcceptanceDeps, 'database' | 'store' | 'graphPolicy'>,
  { id, earlier }: { readonly id: string; readonly earlier: GenerationInput },
): Promise<GenerationInput> {
  const input = { ...(await judgedAgain(deps, earlier)), generationId: newGenerationId() };
  return (await readResumption(deps.database, id)) === null ? input : { ...input, resumesFrom: id };
}

/** What graphs are taken may have changed since. */
async function judgedAgain(
  { store, graphPolicy }: Pick<AcceptanceDeps, 'store' | 'graphPolicy'>,
  { resumesFrom: _before, ...input }: GenerationInput,
): Promise<GenerationInput> {
  if (input.template !== 'graph') return input;
  const { graphRules: _earlier, ...rest } = input;
  const graphRules = judgeGraph(await readGraph(store, input.graph), graphPolicy);
  return graphRules === null ? rest : { ...rest, graphRules };
}
