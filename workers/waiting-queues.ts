import { sql } from 'kysely';
import type { Database } from '../infra/postgres/database.js';
import { demandOfQueues } from '../workflows/domain/demand-of-queues.js';
import type { WaitingQueue } from '../workflows/domain/demand-of-queues.js';

interface GroupRow {
  readonly task_queue: string;
  readonly models: readonly string[];
  readonly account_id: string;
  readonly priority: number;
  readonly is_rendering: boolean;
  readonly generations: number;
  readonly oldest: Date;
}

const USUAL_PRIORITY = 3;

/** The gated queues that have open generations, told to Temporal. */
export interface OpenQueues {
  readonly waiting: readonly WaitingQueue[];
  /** Where all have begun to render, as far as the database knows; some may wait once more. */
  readonly rendering: readonly WaitingQueue[];
}

export async function openQueues(database: Database): Promise<OpenQueues> {
  const { rows } = await sql<GroupRow>`
    SELECT claim_queue AS task_queue, claim_models AS models, account_id, priority, status = 'PROCESSING' AS is_rendering,
           count(*)::int AS generations, min(created_at) AS oldest
    FROM generations
    WHERE finished_at IS NULL AND provider = 'comfyui' AND claim_queue IS NOT NULL
      AND NOT EXISTS (SELECT FROM unfed_generations WHERE unfed_generations.generation_id = generations.id)
      AND NOT EXISTS (SELECT FROM outbox WHERE outbox.generation_id = generations.id AND outbox.kind = 'start')
    GROUP BY 1, 2, 3, 4, 5`.execute(database);
  const served = new Map<string, number>();
  for (const { account_id: accountId, is_rendering: isRendering, generations } of rows) {
    if (isRendering) served.set(accountId, (served.get(accountId) ?? 0) + generations);
  }
  const demandOf = (some: readonly GroupRow[]): readonly WaitingQueue[] =>
    demandOfQueues(some.map(groupOf), (accountId) => served.get(accountId) ?? 0);
  const waiting = rows.filter((row) => !row.is_rendering);
  const names = new Set(waiting.map((row) => row.task_queue));
  return { waiting: demandOf(waiting), rendering: demandOf(rows.filter((row) => !names.has(row.task_queue))) };
}

/**
 * Queues of generations that have ended. An operator can reset one of those: its new run waits for a claim, which tells it
 * that it has ended, and no row says that it waits. Temporal keeps what it could reset for a week.
 */
export async function endedQueues(database: Database): Promise<readonly WaitingQueue[]> {
  const { rows } = await sql<Pick<GroupRow, 'task_queue' | 'models'>>`
    SELECT DISTINCT claim_queue AS task_queue, claim_models AS models FROM generations
    WHERE finished_at > now() - interval '7 days' AND claim_queue IS NOT NULL`.execute(database);
  return rows.map(({ task_queue: taskQueue, models }) => ({
    ...{ taskQueue, models, waiting: 0, topPriority: USUAL_PRIORITY, oldestAcceptedAtMs: Date.now(), leastServed: 0 },
  }));
}

function groupOf(row: GroupRow) {
  return {
    ...{ taskQueue: row.task_queue, models: row.models, accountId: row.account_id, priority: row.priority },
    ...{ waiting: row.generations, oldestAcceptedAtMs: row.oldest.getTime() },
  };
}
