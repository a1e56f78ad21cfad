import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Client } from '@temporalio/client';
import { readBackendReports, readModelFiles } from '../activities/storage/backend-reports.js';
import { writeFleetDemand } from '../activities/storage/fleet-demand.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import type { Database } from '../infra/postgres/database.js';
import { listenTo } from '../infra/postgres/notifications.js';
import { Bell } from '../infra/runtime/bell.js';
import type { Logger } from '../infra/runtime/logger.js';
import { FLEET_DEMAND_PREFIX, FLEET_DEMAND_RENEW_MS, fleetDemandKey } from '../workflows/contracts/fleet-demand.js';
import type { BackendReport } from '../workflows/contracts/backend-report.js';
import type { QueueDemand } from '../workflows/contracts/fleet-demand.js';
import { poolOfTaskQueue } from '../workflows/contracts/task-queues.js';
import type { WaitingQueue } from '../workflows/domain/demand-of-queues.js';
import { backlogOf } from './task-queue-backlog.js';
import { endedQueues, openQueues } from './waiting-queues.js';

export interface DemandPublisherOptions {
  readonly database: Database;
  readonly databaseUrl: string;
  readonly client: Client;
  readonly store: ObjectStore;
  readonly logger: Logger;
}

export interface DemandPublisher {
  /** A generation has come into a queue of Temporal. */
  readonly ring: () => void;
  readonly stop: () => Promise<void>;
}

/** What waits without an event is found after this long. */
const LOOK_MS = 2_000;
/** Events come in swarms, and each costs a look; those who read it do so twice a second. */
const PAUSE_MS = 250;
/** A look at ten thousand waiting generations takes longer: then it is taken less often. */
const PAUSE_SHARE = 5;
/** A change of what a backend offers or polls is news of some seconds. */
const REPORTS_HOLD_MS = 2_000;
/** Between two looks for runs of generations that have ended. */
const ENDED_MS = 5_000;
const MAX_CAPABILITIES = 1_000;

/** Of a live backend: what it offers, `null` where that is not known. */
interface LiveBackend {
  readonly backendId: string;
  readonly pool: string;
  readonly polls: string | null;
  readonly files: ReadonlySet<string> | null;
}

/**
 * Publishes what waits in the gated queues, so that GPU workers, who have no database, poll where work is: at every event of
 * a generation, and every five seconds while something waits. Several control workers may publish at once: all say the same.
 */
export function startDemandPublisher(options: DemandPublisherOptions): DemandPublisher {
  const { databaseUrl, logger } = options;
  const bell = new Bell();
  const ring = (): void => {
    bell.ring();
  };
  const stopping = new AbortController();
  const listener = listenTo({
    ...{ url: databaseUrl, channel: 'generation_events', logger },
    onNotification: ring,
    onConnected: ring,
  });
  const publishing = new Publisher(options).until(bell, stopping.signal);
  return {
    ring,
    async stop() {
      stopping.abort();
      await Promise.all([listener.close(), publishing]);
    },
  };
}

class Publisher {
  readonly #options: DemandPublisherOptions;
  /** By pool: what stands in the store. */
  readonly #published = new Map<string, { readonly queues: readonly QueueDemand[]; readonly atMs: number } | null>();
  /** Its key names its hash: what a file of capabilities says never changes. */
  readonly #filesByKey = new Map<string, ReadonlySet<string> | null>();
  #backends: { readonly live: readonly LiveBackend[]; readonly readAtMs: number } | null = null;
  #knowsPools = false;
  /** Of generations that have ended: where something waits all the same. */
  #ended: { readonly queues: readonly WaitingQueue[]; readonly readAtMs: number } = {
    queues: [],
    readAtMs: Number.NEGATIVE_INFINITY,
  };
  #isFailing = false;

  constructor(options: DemandPublisherOptions) {
    this.#options = options;
  }

  async until(bell: Bell, signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    while (!signal.aborted) {
      const beganAtMs = performance.now();
      try {
        await this.#publish();
        this.#isFailing = false;
      } catch (error) {
        logger[this.#isFailing ? 'debug' : 'warn']({ err: error }, 'What waits for GPUs could not be published');
        this.#isFailing = true;
      }
      const tookMs = performance.now() - beganAtMs;
      await sleep(Math.max(PAUSE_MS, tookMs * PAUSE_SHARE), undefined, { signal }).catch(() => undefined);
      await bell.wait(LOOK_MS, signal);
    }
  }

  async #publish(): Promise<void> {
    await this.#learnPools();
    const waiting = await this.#waitingQueues();
    const live = waiting.length > 0 ? await this.#liveBackends() : [];
    const pools = waiting.map(({ taskQueue }) => poolOfTaskQueue(taskQueue));
    for (const pool of new Set([...pools, ...this.#published.keys()])) {
      const ofPool = live.filter((backend) => backend.pool === pool);
      const queues = waiting.filter((_, index) => pools[index] === pool);
      await this.#publishPool(
        pool,
        queues.map((queue) => demandOf(queue, ofPool)),
      );
    }
  }

  /**
   * The database knows what has not begun to render. What renders in parts, or was reset, waits again while it is
   * PROCESSING: that only Temporal knows.
   */
  async #waitingQueues(): Promise<readonly WaitingQueue[]> {
    const { database, client } = this.#options;
    const { waiting, rendering } = await openQueues(database);
    const open = new Set([...waiting, ...rendering].map(({ taskQueue }) => taskQueue));
    const ended = (await this.#endedQueues()).filter(({ taskQueue }) => !open.has(taskQueue));
    return [...waiting, ...(await withBacklog(client, rendering)), ...ended];
  }

  /** Rarely: nobody but an operator makes such a generation wait. */
  async #endedQueues(): Promise<readonly WaitingQueue[]> {
    const { database, client } = this.#options;
    if (performance.now() - this.#ended.readAtMs >= ENDED_MS) {
      const queues = await withBacklog(client, await endedQueues(database));
      this.#ended = { queues, readAtMs: performance.now() };
    }
    return this.#ended.queues;
  }

  async #publishPool(pool: string, queues: readonly QueueDemand[]): Promise<void> {
    const last = this.#published.get(pool);
    const isRenewed = queues.length > 0 && performance.now() - (last?.atMs ?? 0) >= FLEET_DEMAND_RENEW_MS;
    if (last != null && !isRenewed && isDeepStrictEqual(last.queues, queues)) return;
    await writeFleetDemand(this.#options.store, pool, { computedAtMs: Date.now(), queues });
    this.#published.set(pool, { queues, atMs: performance.now() });
  }

  /** What a control worker that is gone has left must not stand for ever. */
  async #learnPools(): Promise<void> {
    if (this.#knowsPools) return;
    const prefix = fleetDemandKey('').length - '.json'.length;
    for (const key of await this.#options.store.keysUnder(FLEET_DEMAND_PREFIX)) {
      this.#published.set(key.slice(prefix, -'.json'.length), null);
    }
    this.#knowsPools = true;
  }

  async #liveBackends(): Promise<readonly LiveBackend[]> {
    if (this.#backends !== null && performance.now() - this.#backends.readAtMs < REPORTS_HOLD_MS) {
      return this.#backends.live;
    }
    const { store } = this.#options;
    const fresh = (await readBackendReports(store)).filter(({ isFresh }) => isFresh);
    const live = await Promise.all(
      fresh.map(async (report) => ({
        ...{ backendId: report.backendId, pool: report.pool, polls: report.polls ?? null },
        files: await this.#filesOf(report),
      })),
    );
    this.#backends = { live, readAtMs: performance.now() };
    return live;
  }

  async #filesOf(report: BackendReport): Promise<ReadonlySet<string> | null> {
    const { capabilitiesKey: key } = report;
    if (key === null) return null;
    const known = this.#filesByKey.get(key);
    if (known !== undefined) return known;
    const files = await readModelFiles(this.#options.store, report);
    if (this.#filesByKey.size >= MAX_CAPABILITIES) this.#filesByKey.clear();
    this.#filesByKey.set(key, files);
    return files;
  }
}

function demandOf(queue: WaitingQueue, live: readonly LiveBackend[]): QueueDemand {
  return {
    ...queue,
    isOffered: live.some(({ files }) => files === null || queue.models.every((model) => files.has(model))),
    polledBy: live.filter(({ polls }) => polls === queue.taskQueue).map(({ backendId }) => backendId),
  };
}

/** Those in which Temporal has something that waits. */
async function withBacklog(client: Client, queues: readonly WaitingQueue[]): Promise<readonly WaitingQueue[]> {
  const looked = await Promise.all(
    queues.map(async (queue) => ({ ...queue, waiting: await backlogOf(client, queue.taskQueue) })),
  );
  return looked.filter(({ waiting }) => waiting > 0);
}
