import type { Database } from '../../infra/postgres/database.js';
import type { ProgressWatcher } from '../events/progress-watcher.js';
import type { Language } from '../messages/messages.js';
import type { QueueBoard } from '../queue/queue-board.js';
import type { GenerationView } from '../schemas/generation-view.js';
import { generationView } from './generation-view.js';
import type { GenerationRow } from './generation-view.js';
import { placeCursorOf, placeFrom } from './list-cursor.js';
import { CREATED_KEY, followsCursor, pageOf } from './list-page.js';
import type { BatchQuery, ListQuery } from './list-query.js';

export interface ReaderDeps {
  readonly database: Database;
  readonly board: QueueBoard;
  readonly progress: ProgressWatcher;
  readonly temporalUrlOf: (generationId: string) => string | null;
}

export interface GenerationPage {
  readonly generations: readonly GenerationView[];
  readonly nextCursor: string | null;
}

/** Generations as callers see them. */
export interface GenerationReader {
  /** `null` when there is none of that id. */
  read(id: string, language: Language): Promise<GenerationView | null>;
  list(query: ListQuery, language: Language): Promise<GenerationPage>;
  /** Those that hold the places of a batch, in their order. */
  listBatch(batchId: string, query: BatchQuery, language: Language): Promise<GenerationPage>;
}

export function createGenerationReader(deps: ReaderDeps): GenerationReader {
  return {
    async read(id, language) {
      const row = await deps.database.selectFrom('generations').selectAll().where('id', '=', id).executeTakeFirst();
      if (row === undefined) return null;
      // Somebody looks at this one: its progress is worth a question to Temporal, at most once a second.
      if (row.status === 'PROCESSING') await deps.progress.read(id);
      const [view] = await viewsOf(deps, [row], language);
      return view ?? null;
    },
    async list(query, language) {
      const { page, nextCursor } = pageOf(await selectPage(deps.database, query), query.limit);
      return { generations: await viewsOf(deps, page, language), nextCursor };
    },
    async listBatch(batchId, query, language) {
      const rows = await selectPlaces(deps.database, batchId, query);
      const page = rows.slice(0, query.limit);
      const last = page.at(-1)?.batch_index ?? null;
      return {
        generations: await viewsOf(deps, page, language),
        nextCursor: rows.length > query.limit && last !== null ? placeCursorOf(last) : null,
      };
    },
  };
}

async function selectPlaces(
  database: Database,
  ...[batchId, { limit, status, cursor }]: [string, BatchQuery]
): Promise<readonly GenerationRow[]> {
  return database
    .selectFrom('generations')
    .selectAll()
    .where('batch_id', '=', batchId)
    .where('batch_index', '>', cursor === null ? -1 : placeFrom(cursor))
    .$if(status !== null, (select) => select.where('status', 'in', status ?? []))
    .orderBy('batch_index')
    .limit(limit + 1)
    .execute();
}

async function selectPage(database: Database, query: ListQuery) {
  const { limit, status, template, cursor } = query;
  return database
    .selectFrom('generations')
    .selectAll()
    .select(CREATED_KEY)
    .where(followsCursor(cursor))
    .$if(status !== null, (select) => select.where('status', 'in', status ?? []))
    .$if(template !== null, (select) => select.where('template', '=', template ?? ''))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute();
}

async function viewsOf(
  deps: ReaderDeps,
  ...[rows, language]: [readonly GenerationRow[], Language]
): Promise<GenerationView[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const [outputs, attempts, queues] = await Promise.all([
    deps.database.selectFrom('outputs').selectAll().where('generation_id', 'in', ids).orderBy('index').execute(),
    deps.database
      .selectFrom('recovery_attempts')
      .selectAll()
      .where('generation_id', 'in', ids)
      .orderBy('attempt')
      .execute(),
    deps.board.placesOf(rows.flatMap(({ id, status }) => (status === 'QUEUED' ? [id] : []))),
  ]);
  return rows.map((row) => {
    const live = row.status === 'PROCESSING' ? deps.progress.latest(row.id) : null;
    return generationView({
      row,
      outputs: outputs.filter(({ generation_id: id }) => id === row.id),
      attempts: attempts.filter(({ generation_id: id }) => id === row.id),
      queue: queues.get(row.id) ?? null,
      progress: live?.progress ?? null,
      runId: live?.runId ?? null,
      temporalUrl: deps.temporalUrlOf(row.id),
      language,
    });
  });
}
