import { sql } from 'kysely';
import type { Database } from '../infra/postgres/database.js';
import { demandOfQueues } from '../workflows/domain/demand-of-queues.js';
import type { WaitingQueue } from '../workflows/domain/demand-of-queues.js';

interface GroupRow {
  readonly task_queue: string;
  readonly models: readonly string[];
  readonly account_id: string;
  readonly priority: number;
  readonly waiting: number;
  readonly oldest: Date;
}

/** What waits for GPUs, by queue: accepted, told to Temporal, and not rendering. */
export async function waitingQueues(database: Database): Promise<readonly WaitingQueue[]> {
  const { rows } = await sql<GroupRow>`
    SELECT claim_queue AS task_queue, claim_models AS models, account_id, priority, count(*)::int AS waiting,
           min(created_at) AS oldest
    FROM generations
    WHERE finished_at IS NULL AND status IN ('QUEUED', 'RECOVERING') AND provider = 'comfyui' AND claim_queue IS NOT NULL
      AND NOT EXISTS (SELECT FROM unfed_generations WHERE unfed_generations.generation_id = generations.id)
      AND NOT EXISTS (SELECT FROM outbox WHERE outbox.generation_id = generations.id AND outbox.kind = 'start')
    GROUP BY claim_queue, claim_models, account_id, priority`.execute(database);
  if (rows.length === 0) return [];
  const served = await database
    .selectFrom('generations')
    .select(['account_id', sql<number>`count(*)::int`.as('count')])
    .where('finished_at', 'is', null)
    .where('status', '=', 'PROCESSING')
    .groupBy('account_id')
    .execute();
  const counts = new Map(served.map(({ account_id: accountId, count }) => [accountId, count]));
  const groups = rows.map((row) => ({
    ...{ taskQueue: row.task_queue, models: row.models, accountId: row.account_id, priority: row.priority },
    ...{ waiting: row.waiting, oldestAcceptedAtMs: row.oldest.getTime() },
  }));
  return demandOfQueues(groups, (accountId) => counts.get(accountId) ?? 0);
}
