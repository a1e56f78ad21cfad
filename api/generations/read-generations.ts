import { sql } from 'kysely';
import type { Database } from '../../infra/postgres/database.js';
import type { BackendDirectory } from '../backends/backend-directory.js';
import { fleetState } from '../backends/fleet-state.js';
import { knownNeedsOf } from '../backends/known-needs.js';
import { needsOf } from '../../workflows/domain/capability-gaps.js';
import type { Needs } from '../../workflows/domain/capability-gaps.js';
import type { GraphReader } from '../../activities/storage/graph-reader.js';
import { withDeadline } from '../with-deadline.js';
import type { ProgressWatcher } from '../events/progress-watcher.js';
import type { Language } from '../messages/messages.js';
import type { GenerationView, QueueView } from '../schemas/generation-view.js';
import { generationView } from './generation-view.js';
import type { GenerationRow } from './generation-view.js';
import { cursorFrom, cursorOf } from './list-cursor.js';
import type { ListQuery } from './list-query.js';

/** Reading a generation must not wait long for a store that is slow. */
const GRAPH_MS = 1_000;

export interface ReaderDeps {
  readonly database: Database;
  readonly directory: BackendDirectory;
  readonly readKeptGraph: GraphReader;
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
      const rows = await selectPage(deps.database, query);
      const page = rows.slice(0, query.limit);
      const last = page.at(-1);
      return {
        generations: await viewsOf(deps, page, language),
        nextCursor: rows.length > query.limit && last !== undefined ? cursorOf(last.created_key, last.id) : null,
      };
    },
  };
}

/** One row more than asked for says whether there is a next page. */
async function selectPage(database: Database, query: ListQuery) {
  const { limit, status, template } = query;
  const after = query.cursor === null ? null : cursorFrom(query.cursor);
  return database
    .selectFrom('generations')
    .selectAll()
    .select(sql<string>`created_at::text`.as('created_key')) // with microseconds, which a Date drops
    .$if(status !== null, (select) => select.where('status', 'in', status ?? []))
    .$if(template !== null, (select) => select.where('template', '=', template ?? ''))
    .$if(after !== null, (select) =>
      select.where(sql<boolean>`(created_at, id) < (${after?.createdAt ?? ''}::timestamptz, ${after?.id ?? ''})`),
    )
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
    queuesOf(deps, rows),
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

/** Places in the queue, for those that wait. */
async function queuesOf(deps: ReaderDeps, rows: readonly GenerationRow[]): Promise<ReadonlyMap<string, QueueView>> {
  const waiting = rows.filter(({ status }) => status === 'QUEUED');
  if (waiting.length === 0) return new Map();
  const positions = await positionsOf(
    deps.database,
    waiting.map(({ id }) => id),
  );
  const rendering = await renderingOn(deps.database);
  const queues = await Promise.all(
    waiting.map(async ({ id, workflow_input: input }) => {
      const position = positions.get(id);
      if (position === undefined) return []; // it has started in between
      const needs = waiting.length === 1 ? await needsWithGraph(deps, input) : knownNeedsOf(input);
      const { busy, slots, reason } = await fleetState(deps.directory, { pool: input.pool, needs, rendering });
      return [[id, { position, busy, slots, ...(reason !== null && { reason }) }] as const];
    }),
  );
  return new Map(queues.flat());
}

/** Of one generation the graph is looked at, too: a list would read a hundred. */
async function needsWithGraph({ readKeptGraph }: ReaderDeps, input: GenerationRow['workflow_input']): Promise<Needs> {
  try {
    return needsOf(await withDeadline(GRAPH_MS, readKeptGraph(input.graph)), input.vramGb ?? null);
  } catch {
    return knownNeedsOf(input); // decides what is said; the store's own error is shown by /readyz
  }
}

/** How many generations each backend renders. */
async function renderingOn(database: Database): Promise<ReadonlyMap<string, number>> {
  const rows = await database
    .selectFrom('generations')
    .select(['backend_id', sql<number>`count(*)::int`.as('count')])
    .where('finished_at', 'is', null)
    .where('status', '=', 'PROCESSING')
    .groupBy('backend_id')
    .execute();
  return new Map(rows.map(({ backend_id: backendId, count }) => [backendId ?? '', count]));
}

async function positionsOf(database: Database, ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const rows = await database
    .with('waiting', (cte) =>
      cte
        .selectFrom('generations')
        .select(['id', sql<string>`row_number() OVER (ORDER BY priority, created_at, id)`.as('position')])
        .where('finished_at', 'is', null)
        .where('status', '=', 'QUEUED'),
    )
    .selectFrom('waiting')
    .select(['id', 'position'])
    .where('id', 'in', ids)
    .execute();
  return new Map(rows.map(({ id, position }) => [id, Number(position)]));
}
