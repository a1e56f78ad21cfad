import { sql } from 'kysely';
import type { Selectable, Transaction } from 'kysely';
import type { BatchesTable, DatabaseSchema } from '../../infra/postgres/database-schema.js';
import type { Database } from '../../infra/postgres/database.js';
import { isTerminal } from '../../workflows/domain/generation-status.js';
import type { GenerationStatus } from '../../workflows/domain/generation-status.js';
import type { PageQuery } from '../generations/list-query.js';
import { CREATED_KEY, followsCursor, pageOf } from '../generations/list-page.js';
import { NO_ACCOUNT } from '../generations/prepare-generation.js';
import type { QueueBoard } from '../queue/queue-board.js';
import type { BatchView } from '../schemas/batch-view.js';

export type BatchRow = Selectable<BatchesTable>;

/** How many generations of a batch have each status. */
export interface BatchCounts {
  readonly byStatus: ReadonlyMap<GenerationStatus, number>;
  readonly lastFinishedAt: Date | null;
}

export interface BatchPage {
  readonly batches: readonly BatchView[];
  readonly nextCursor: string | null;
}

export interface BatchReader {
  /** `null` when there is none of that id. */
  read(id: string): Promise<BatchView | null>;
  /** Newest first. */
  list(query: PageQuery): Promise<BatchPage>;
}

export function createBatchReader(deps: { readonly database: Database; readonly board: QueueBoard }): BatchReader {
  const { database, board } = deps;
  return {
    async read(id) {
      const row = await database.selectFrom('batches').selectAll().where('id', '=', id).executeTakeFirst();
      if (row === undefined) return null;
      const [view] = await viewsOf(database, board, [row]);
      return view ?? null;
    },
    async list({ limit, cursor }) {
      const rows = await database
        .selectFrom('batches')
        .selectAll()
        .select(CREATED_KEY)
        .where(followsCursor(cursor))
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(limit + 1)
        .execute();
      const { page, nextCursor } = pageOf(rows, limit);
      return { batches: await viewsOf(database, board, page), nextCursor };
    },
  };
}

async function viewsOf(
  database: Database,
  ...[board, rows]: [QueueBoard, readonly BatchRow[]]
): Promise<readonly BatchView[]> {
  const ids = rows.map(({ id }) => id);
  const [counts, lastIds] = await Promise.all([readCounts(database, ids), lastWaiting(database, ids)]);
  const places = await board.placesOf([...lastIds.values()]);
  return rows.map((row) => {
    const place = places.get(lastIds.get(row.id) ?? '');
    return batchView({ row, counts: counts.get(row.id), endsInSeconds: place?.endsInSeconds ?? null });
  });
}

/** By batch. */
export async function readCounts(
  database: Database | Transaction<DatabaseSchema>,
  ids: readonly string[],
): Promise<ReadonlyMap<string, BatchCounts>> {
  const rows = await database
    .selectFrom('generations')
    .select([
      'batch_id',
      'status',
      sql<number>`count(*)::int`.as('count'),
      sql<Date | null>`max(finished_at)`.as('last'),
    ])
    .where(sql<boolean>`batch_id = ANY(${ids})`)
    .where('batch_index', 'is not', null)
    .groupBy(['batch_id', 'status'])
    .execute();
  return new Map(
    ids.map((id) => {
      const own = rows.filter(({ batch_id: batchId }) => batchId === id);
      const ends = own.flatMap(({ last }) => last?.getTime() ?? []);
      return [
        id,
        {
          byStatus: new Map(own.map(({ status, count }) => [status, count])),
          lastFinishedAt: ends.length === 0 ? null : new Date(Math.max(...ends)),
        },
      ];
    }),
  );
}

/** The one that will be rendered last, of each batch in which one waits for a ComfyUI. */
async function lastWaiting(database: Database, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const { rows } = await sql<{ readonly batch: string; readonly id: string }>`
    SELECT DISTINCT ON (batch_id) batch_id AS batch, id FROM generations
     WHERE batch_id = ANY(${ids}) AND finished_at IS NULL AND status = 'QUEUED' AND provider = 'comfyui'
     ORDER BY batch_id, priority DESC, id DESC`.execute(database);
  return new Map(rows.map(({ batch, id }) => [batch, id]));
}

export function batchView(parts: {
  readonly row: BatchRow;
  readonly counts: BatchCounts | undefined;
  readonly endsInSeconds: number | null;
}): BatchView {
  const { row, counts, endsInSeconds } = parts;
  const countOf = (status: GenerationStatus): number => counts?.byStatus.get(status) ?? 0;
  const ended = [...(counts?.byStatus ?? [])].reduce(
    (sum, [status, count]) => sum + (isTerminal(status) ? count : 0),
    0,
  );
  const url = `/v1/batches/${row.id}`;
  return {
    id: row.id,
    url,
    total: row.total,
    counts: {
      queued: countOf('QUEUED'),
      processing: countOf('PROCESSING'),
      recovering: countOf('RECOVERING'),
      completed: countOf('COMPLETED'),
      failed: countOf('FAILED'),
      timeout: countOf('TIMEOUT'),
      cancelled: countOf('CANCELLED'),
    },
    percent: Math.floor((ended / row.total) * 1_000) / 10, // 100 only when all have ended
    endsInSeconds,
    account: row.account_id === NO_ACCOUNT ? null : row.account_id,
    createdAt: row.created_at.toISOString(),
    finishedAt: ended === row.total ? (counts?.lastFinishedAt?.toISOString() ?? null) : null,
    cancelRequestedAt: row.cancel_requested_at?.toISOString() ?? null,
    links: {
      generations: `${url}/generations`,
      failed: `${url}/generations?status=FAILED,TIMEOUT`,
      events: `${url}/events`,
    },
  };
}
