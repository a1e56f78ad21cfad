import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { sql } from 'kysely';
import { readBackendReports } from '../activities/storage/backend-reports.js';
import type { KnownBackend } from '../activities/storage/backend-reports.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import type { Database } from '../infra/postgres/database.js';
import type { Logger } from '../infra/runtime/logger.js';
import { noBackendSignal } from '../workflows/contracts/fal.js';
import { generationWorkflowId } from '../workflows/contracts/generation.js';

export interface FleetWatcherOptions {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly client: Client;
  readonly logger: Logger;
  readonly fallbackAfterSeconds: number;
}

const LOOK_MS = 5_000;
/**
 * A Workflow that was told and still waits (it was in the middle of something, or over a ceiling) is told again; each time
 * costs its history about ten events, and it may wait for a day.
 */
const TELL_AGAIN_MS = 5 * 60_000;
const TOLD_AT_ONCE = 100;
const TELL_WITHIN_MS = 5_000;

/**
 * Tells generations that wait for a GPU, and may run on fal.ai, that no backend of their pool has been healthy for long, of
 * those on which they have not failed before.
 * A long queue is not a dead fleet and does not cost money. Several control workers may watch at once.
 */
export function startFleetWatcher(options: FleetWatcherOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const watching = new FleetWatcher(options).until(stopping.signal);
  return {
    async stop() {
      stopping.abort();
      await watching;
    },
  };
}

class FleetWatcher {
  readonly #options: FleetWatcherOptions;
  #down: readonly DownGroup[] = [];
  #toldAtMs: ReadonlyMap<string, number> = new Map();
  #isFailing = false;

  constructor(options: FleetWatcherOptions) {
    this.#options = options;
  }

  async until(signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#look();
        this.#isFailing = false;
      } catch (error) {
        // Aloud once for each outage. What nobody can see is no dead fleet.
        logger[this.#isFailing ? 'debug' : 'warn']({ err: error }, 'The fleet could not be looked at');
        this.#isFailing = true;
        this.#down = [];
      }
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    const open = await openGenerations(this.#options.database);
    const usable = (await readBackendReports(this.#options.store)).filter(isUsable);
    const now = performance.now();
    const down = open.filter((one) => !usable.some(mayRender(one)));
    const sinceMs = (one: OpenGeneration): number =>
      Math.min(now, ...this.#down.filter((group) => hasAllOf(one, group)).map((group) => group.sinceMs));
    const groups = new Map(down.map((one) => [groupOf(one), one]));
    this.#down = [...groups.values()].map((one) => ({ pool: one.pool, avoided: one.avoided, sinceMs: sinceMs(one) }));
    const isDue = (one: OpenGeneration): boolean =>
      one.isWaiting && now - sinceMs(one) >= this.#options.fallbackAfterSeconds * 1_000;
    this.#toldAtMs = new Map([...this.#toldAtMs].filter(([, toldAtMs]) => now - toldAtMs < TELL_AGAIN_MS));
    const due = down.filter((one) => isDue(one) && !this.#toldAtMs.has(one.id)).slice(0, TOLD_AT_ONCE);
    for (const one of due) await this.#tell(one);
  }

  async #tell({ id, pool, avoided }: OpenGeneration): Promise<void> {
    const { client, logger } = this.#options;
    try {
      const handle = client.workflow.getHandle(generationWorkflowId(id));
      const others = avoided.length === 0 ? '' : ` but ${avoided.join(', ')}, where it has failed,`;
      const reason = `No backend of the pool ${pool}${others} is healthy`;
      await client.withDeadline(Date.now() + TELL_WITHIN_MS, async () => handle.signal(noBackendSignal, reason));
      this.#toldAtMs = new Map([...this.#toldAtMs, [id, performance.now()]]);
      logger.warn({ generationId: id, pool, avoided }, 'No backend has been healthy for long: the generation is told');
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error; // else it has ended, or was not started yet
    }
  }
}

interface OpenGeneration {
  readonly id: string;
  readonly pool: string;
  /** Backends on which it has failed. */
  readonly avoided: readonly string[];
  /** For a backend: false while it renders, or while its backend is waited for. */
  readonly isWaiting: boolean;
}

/** None of the backends of the pool but the avoided ones was seen healthy since then. */
interface DownGroup extends Pick<OpenGeneration, 'pool' | 'avoided'> {
  readonly sinceMs: number;
}

/** Those that may have the same backends. */
function groupOf({ pool, avoided }: OpenGeneration): string {
  return JSON.stringify([pool, ...[...avoided].sort()]);
}

/** Whatever keeps a group waiting keeps those waiting that may have even less. */
function hasAllOf({ pool, avoided }: OpenGeneration, group: DownGroup): boolean {
  return pool === group.pool && group.avoided.every((backendId) => avoided.includes(backendId));
}

/**
 * Those that may fall back and that Temporal knows; the oldest first. What renders is among them, because a fleet is down
 * from the crash of the last backend on, not from when the generation is done with waiting for its return.
 */
async function openGenerations(database: Database): Promise<readonly OpenGeneration[]> {
  return database
    .selectFrom('generations')
    .select(['id', 'avoided', sql<string>`workflow_input->>'pool'`.as('pool')])
    .select((eb) => eb('status', 'in', ['QUEUED', 'RECOVERING']).as('isWaiting'))
    .where('finished_at', 'is', null)
    .where('provider', '=', 'comfyui')
    .where('id', 'not in', (unfed) => unfed.selectFrom('unfed_generations').select('generation_id'))
    .where(sql<boolean>`workflow_input->>'provider' = 'comfyui' AND workflow_input->'fal' ? 'modelId'`)
    .orderBy('created_at')
    .limit(1_000)
    .$narrowType<{ isWaiting: boolean }>()
    .execute();
}

function isUsable({ isFresh, health, gate }: KnownBackend): boolean {
  return isFresh && health === 'healthy' && gate !== 'closed';
}

function mayRender({ pool, avoided }: OpenGeneration): (backend: KnownBackend) => boolean {
  return (backend) => backend.pool === pool && !avoided.includes(backend.backendId);
}
