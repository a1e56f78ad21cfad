import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../../infra/postgres/database.js';
import { firstAnswerTo } from '../generations/idempotency.js';
import type { IdempotentRequest } from '../generations/idempotency.js';
import { accountOf, idempotentRequest } from '../generations/accept-generation.js';
import { newGenerationId } from '../generations/new-generation-id.js';
import { readAccountLimits } from '../generations/open-limits.js';
import { newGeneration, storeRequests } from '../generations/prepare-generation.js';
import type { PreparationDeps } from '../generations/prepare-generation.js';
import type { Answer } from '../generations/within-intake.js';
import { batchRequestSchema } from '../schemas/batch-request.js';
import { parsedBody } from '../schemas/parsed-body.js';
import { commitBatch } from './commit-batch.js';
import type { BatchCommitDeps } from './commit-batch.js';
import { expandBatch } from './expand-batch.js';
import { judgeBatch } from './judge-batch.js';

export interface BatchDeps extends BatchCommitDeps, PreparationDeps {
  readonly maxBatch: number;
}

export type AcceptBatch = (request: {
  readonly body: unknown;
  readonly idempotencyKey: string | null;
}) => Promise<Answer>;

/** Makes many generations durable: everything is judged first, then the graphs are stored, then one transaction. */
export function createAcceptBatch(deps: BatchDeps): AcceptBatch {
  return async function acceptBatch({ body, idempotencyKey }) {
    const idempotency = idempotentRequest(body, idempotencyKey);
    const replay = await replayedAnswer(deps.database, idempotency);
    if (replay !== null) return replay;
    const items = expandBatch(parsedBody(batchRequestSchema, body), deps.maxBatch);
    const accountId = accountOf(body);
    const limits = await readAccountLimits(deps.database, accountId, deps.openLimits);
    const judged = await judgeBatch(deps, items, limits);
    const requests = judged.map(({ request }) => request);
    const stored = await storeRequests(deps, requests);
    // Ids are given in the order of the batch, which is the order of its rows.
    const generations = judged.map((each) => newGeneration(deps, each, stored, newGenerationId()));
    return commitBatch(deps, { batchId: newBatchId(), accountId, generations }, { limits, idempotency });
  };
}

export async function replayedAnswer(
  database: Database,
  idempotency: IdempotentRequest | null,
): Promise<Answer | null> {
  const body = idempotency === null ? null : await firstAnswerTo(database, idempotency);
  return body === null ? null : { body, isReplay: true };
}

function newBatchId(): string {
  return `bat_${uuidv7().replaceAll('-', '')}`;
}
