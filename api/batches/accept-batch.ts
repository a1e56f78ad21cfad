import pLimit from 'p-limit';
import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../../infra/postgres/database.js';
import { firstAnswerTo } from '../generations/idempotency.js';
import type { IdempotentRequest } from '../generations/idempotency.js';
import type { NewGeneration } from '../generations/insert-generations.js';
import { accountOf, idempotentRequest } from '../generations/accept-generation.js';
import { newGenerationId } from '../generations/new-generation-id.js';
import { readAccountLimits } from '../generations/open-limits.js';
import { storeRequest } from '../generations/prepare-generation.js';
import type { JudgedRequest, PreparationDeps } from '../generations/prepare-generation.js';
import type { Answer } from '../generations/within-intake.js';
import { batchRequestSchema } from '../schemas/batch-request.js';
import { parsedBody } from '../schemas/parsed-body.js';
import { commitBatch } from './commit-batch.js';
import type { BatchCommitDeps } from './commit-batch.js';
import { expandBatch } from './expand-batch.js';
import type { BatchItem } from './expand-batch.js';
import { BatchFaults, judgeBatch } from './judge-batch.js';

export interface BatchDeps extends BatchCommitDeps, PreparationDeps {
  readonly maxBatch: number;
}

export type AcceptBatch = (request: {
  readonly body: unknown;
  readonly idempotencyKey: string | null;
}) => Promise<Answer>;

/** Graphs that are on their way to the object store at the same time. */
const STORES_AT_ONCE = 16;

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
    const generations = await storeAll(deps, items, judged);
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

/** Ids are given in the order of the batch, which is the order of its rows. */
async function storeAll(
  deps: BatchDeps,
  ...[items, judged]: [readonly BatchItem[], readonly JudgedRequest[]]
): Promise<readonly NewGeneration[]> {
  const faults = new BatchFaults(items.length);
  const atOnce = pLimit(STORES_AT_ONCE);
  const stored = await Promise.all(
    items.map(async (item, index) => {
      const request = judged[index];
      const id = newGenerationId();
      if (request === undefined) return [];
      return atOnce(async () => [await storeRequest(deps, request, id)]).catch((error: unknown) => {
        atOnce.clearQueue(); // nothing of it will be accepted
        faults.add(error, item);
        return [];
      });
    }),
  );
  faults.throwIfAny();
  return stored.flat();
}
