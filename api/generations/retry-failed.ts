import type { Database } from '../../infra/postgres/database.js';
import { FAILURE_KINDS, describeFailure } from '../../workflows/domain/failure.js';
import type { GraphPolicy } from '../graphs/graph-policy.js';
import type { Language } from '../messages/messages.js';
import { ProblemError } from '../problem-error.js';
import type { RetryGeneration } from './retry-generation.js';

/** Accepts up to `max` failed generations once more; answers the ids of the new ones. */
export type RetryFailed = (request: {
  readonly max: number;
  readonly language: Language;
}) => Promise<readonly string[]>;

/** The same request may succeed later. */
const RETRYABLE_KINDS = FAILURE_KINDS.filter((kind) => describeFailure(kind).isRetryableByCaller);

export function createRetryFailed(deps: {
  readonly database: Database;
  readonly retryGeneration: RetryGeneration;
  readonly graphPolicy: GraphPolicy;
}): RetryFailed {
  const { database, retryGeneration, graphPolicy } = deps;
  /** The oldest first, and each failed one once: whoever calls at the same moment gets the same new generation. */
  return async function retryFailed({ max, language }) {
    const rows = await database
      .selectFrom('generations as failed')
      .select('id')
      .where('failure_kind', 'in', RETRYABLE_KINDS)
      .$if(graphPolicy.mode === 'templates', (query) => query.where('template', '<>', 'graph'))
      .where((row) =>
        row.not(
          row.exists(
            row.selectFrom('generations as again').select('again.id').whereRef('again.retry_of', '=', 'failed.id'),
          ),
        ),
      )
      .orderBy('finished_at')
      .limit(max)
      .execute();
    const ids: string[] = [];
    for (const { id } of rows) {
      const request = { id, idempotencyKey: `retry-failed/${id}`, language };
      const acceptance = await retryGeneration(request).catch(unlessRefused);
      if (acceptance !== null) ids.push(acceptance.generationId);
    }
    return ids;
  };
}

/** A graph that is not taken any more, or a file that was removed, does not keep the others from being retried. */
function unlessRefused(error: unknown): null {
  if (error instanceof ProblemError && ['graph_refused', 'input_gone'].includes(error.code)) return null;
  throw error;
}
