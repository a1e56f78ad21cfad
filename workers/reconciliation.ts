import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import pLimit from 'p-limit';
import { GENERATE_MEDIA, generationWorkflowId } from '../workflows/contracts/generation.js';
import { startStopInForce } from './start-stop-in-force.js';
import { reconcileGeneration } from './reconcile-generation.js';
import type { ReconcileDeps } from './reconcile-generation.js';

export interface ReconciliationOptions extends ReconcileDeps {
  readonly intervalMs: number;
}

/** Visibility is a little late, and Temporal's clock is not PostgreSQL's: what closed this long before is seen again. */
const OVERLAP_SECONDS = 120;
/** After a long stop the past is caught up with in pieces, each of which is finished or begun again. */
const MAX_WINDOW_HOURS = 6;
const LIST_DEADLINE_MS = 60_000;
/** Open generations that are looked at in one round; all of them take their turn. */
const OPEN_ROWS = 200;
const AT_ONCE = 8;

/**
 * Compares Temporal with PostgreSQL, at start and then at intervals. A Workflow that was terminated runs no code: here its
 * row gets its end and its claim record is closed, so that the sweep frees the GPU and a later reset is refused. An
 * accepted generation without a Workflow is started, and so is an emergency stop that is in force.
 */
export function startReconciliation(options: ReconciliationOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const reconciling = reconcileUntil(options, stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await reconciling;
    },
  };
}

async function reconcileUntil(options: ReconciliationOptions, signal: AbortSignal): Promise<void> {
  const { logger, intervalMs } = options;
  let isFailing = false;
  let lastOpen = '';
  while (!signal.aborted) {
    try {
      lastOpen = await reconcileOnce(options, { lastOpen, signal });
      if (isFailing) logger.info('Reconciliation works again');
      isFailing = false;
    } catch (error) {
      // Aloud once for each outage.
      logger[isFailing ? 'debug' : 'warn']({ err: error }, 'Reconciliation did not finish; trying again');
      isFailing = true;
    }
    await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
  }
}

/** One round; answers the last open generation that was looked at, after which the next round goes on. */
async function reconcileOnce(
  options: ReconciliationOptions,
  { lastOpen, signal }: { readonly lastOpen: string; readonly signal: AbortSignal },
): Promise<string> {
  await startStopInForce(options);
  const window = await nextWindow(options);
  const openIds = await openAfter(options, lastOpen);
  const closedIds = await closedIn(options, window);
  const atOnce = pLimit(AT_ONCE);
  const results = await Promise.allSettled(
    [...new Set([...closedIds, ...openIds])].map(async (id) =>
      atOnce(async () => (signal.aborted ? undefined : reconcileGeneration(options, id))),
    ),
  );
  // One that fails does not keep the others waiting, but the round counts as failed and its window is seen again.
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  if (!signal.aborted) await remember(options, window.until);
  return openIds.length < OPEN_ROWS ? '' : (openIds.at(-1) ?? '');
}

interface Window {
  readonly since: Date;
  readonly until: Date;
}

async function nextWindow({ database }: ReconciliationOptions): Promise<Window> {
  return database
    .selectFrom('reconciliation')
    .select([
      sql<Date>`closed_until - make_interval(secs => ${OVERLAP_SECONDS})`.as('since'),
      sql<Date>`least(now(), closed_until + make_interval(hours => ${MAX_WINDOW_HOURS}))`.as('until'),
    ])
    .executeTakeFirstOrThrow();
}

/** Never backwards: another control worker may have come further. */
async function remember({ database }: ReconciliationOptions, until: Date): Promise<void> {
  await database
    .updateTable('reconciliation')
    .set({ closed_until: sql<Date>`greatest(closed_until, ${until})` })
    .execute();
}

/**
 * Open generations that Temporal may know, in the order of their ids; a repaired one drops out, so every round begins
 * where work may be.
 */
async function openAfter({ database }: ReconciliationOptions, lastOpen: string): Promise<readonly string[]> {
  const rows = await database
    .selectFrom('generations')
    .select('id')
    .where('finished_at', 'is', null)
    .where('id', '>', lastOpen)
    .where('id', 'not in', (unfed) => unfed.selectFrom('unfed_generations').select('generation_id'))
    .orderBy('id')
    .limit(OPEN_ROWS)
    .execute();
  return rows.map(({ id }) => id);
}

/** What closed in the window and may lack its record: whatever was cut off, and the rest only while its row is open. */
async function closedIn(options: ReconciliationOptions, window: Window): Promise<readonly string[]> {
  const { client } = options;
  const query =
    `WorkflowType = '${GENERATE_MEDIA}' AND ` +
    `CloseTime BETWEEN '${window.since.toISOString()}' AND '${new Date(window.until.getTime() + OVERLAP_SECONDS * 1_000).toISOString()}'`;
  const cutOff: string[] = [];
  const ended: string[] = [];
  await client.withDeadline(Date.now() + LIST_DEADLINE_MS, async () => {
    for await (const { workflowId, status } of client.workflow.list({ query, pageSize: 1_000 })) {
      const isCutOff = status.name === 'TERMINATED' || status.name === 'TIMED_OUT';
      (isCutOff ? cutOff : ended).push(workflowId.slice(generationWorkflowId('').length));
    }
  });
  return [...cutOff, ...(await stillOpen(options, ended))];
}

const IDS_AT_ONCE = 1_000;

async function stillOpen({ database }: ReconciliationOptions, ids: readonly string[]): Promise<readonly string[]> {
  const open: string[] = [];
  for (let start = 0; start < ids.length; start += IDS_AT_ONCE) {
    const rows = await database
      .selectFrom('generations')
      .select('id')
      .where('id', 'in', ids.slice(start, start + IDS_AT_ONCE))
      .where('finished_at', 'is', null)
      .execute();
    open.push(...rows.map(({ id }) => id));
  }
  return open;
}
