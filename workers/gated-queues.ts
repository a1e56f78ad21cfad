import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from '@temporalio/worker';
import pLimit from 'p-limit';
import type { Logger } from '../infra/runtime/logger.js';
import { chooseQueue } from '../workflows/domain/choose-queue.js';
import type { Chooser } from '../workflows/domain/choose-queue.js';
import type { DemandWatch } from './demand-watch.js';
import { DryQueues } from './dry-queues.js';
import { GatedQueue } from './gated-queue.js';
import type { Gate } from './gated-queue.js';
import type { Runnable } from './worker-group.js';

export interface GatedQueuesOptions {
  /** The queue that is polled before anything is known. */
  readonly home: string;
  readonly gate: Gate;
  readonly demand: Pick<DemandWatch, 'queues'>;
  readonly chooser: () => Chooser;
  /** A Worker whose activity slots are the queue's. */
  readonly createWorker: (queue: GatedQueue) => Promise<Pick<Worker, 'run' | 'shutdown' | 'getState'>>;
  readonly logger: Logger;
  readonly onChange: (taskQueue: string) => void;
}

/** While a poll is idle the demand is read this often: the longest that work of another queue waits, with the change itself. */
const LOOK_MS = 500;

interface RunningQueue {
  readonly queue: GatedQueue;
  readonly worker: Pick<Worker, 'run' | 'shutdown' | 'getState'>;
  readonly ended: Promise<void>;
}

/**
 * The gated queues of one backend, of which it polls one at a time: two behind one gate would starve each other, because
 * the permit stays in the poll of the empty one. Which one is decided before each poll, and again while one brings
 * nothing. A change retires one queue and activates another, each with a Worker of its own; a demand that cannot be read
 * changes nothing. Runs like one Worker, and ends when any of its Workers fails.
 */
export class GatedQueues implements Runnable {
  readonly #options: GatedQueuesOptions;
  readonly #running = new Map<string, RunningQueue>();
  readonly #dry = new DryQueues();
  /** Changes are made one after the other. */
  readonly #exclusive = pLimit(1);
  readonly #stopping = new AbortController();
  #active: GatedQueue | null = null;
  #failure: { readonly error: unknown } | null = null;

  constructor(options: GatedQueuesOptions) {
    this.#options = options;
  }

  getState(): 'RUNNING' | 'STOPPING' {
    return this.#stopping.signal.aborted ? 'STOPPING' : 'RUNNING';
  }

  shutdown(): void {
    this.#stopping.abort();
    for (const { worker } of this.#running.values()) shutDown(worker);
  }

  /** Resolves when every Worker has let go after `shutdown`; throws what one of them has failed with. */
  async run(): Promise<void> {
    try {
      await this.#exclusive(async () => this.#changeTo(this.#options.home));
      await this.#lookAround();
    } catch (error) {
      this.#fail(error);
    }
    await Promise.all([...this.#running.values()].map(async ({ ended }) => ended));
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** While a poll brings nothing, work of another queue may wait. */
  async #lookAround(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
      const active = this.#active;
      if (active?.isIdle !== true || signal.aborted) continue;
      await this.#settle(active);
    }
  }

  /** Changes to the queue that is due now, if it is another than the one that asks. Never fails. */
  async #settle(asking: GatedQueue): Promise<void> {
    const { demand, chooser, logger } = this.#options;
    try {
      const queues = await demand.queues(LOOK_MS);
      const polled = queues.find(({ taskQueue }) => taskQueue === asking.taskQueue);
      if (polled !== undefined) this.#dry.polled(polled, asking.idleMs);
      const next = chooseQueue(
        queues.filter((queue) => !this.#dry.has(queue)),
        chooser(),
      );
      if (next === null || next === asking.taskQueue) return;
      await this.#exclusive(async () => {
        if (this.#active === asking) await this.#changeTo(next);
      });
    } catch (error) {
      // The SDK swallows what a slot supplier throws; the backend stays where it is.
      logger.error({ err: error }, 'A backend could not change its queue');
    }
  }

  async #changeTo(taskQueue: string): Promise<void> {
    const { queue, worker } = await this.#opened(taskQueue);
    // It may have been left by its last poll in this moment; whoever looks next changes to it anew.
    if (worker.getState() === 'RUNNING') this.#makeActive(queue);
  }

  #makeActive(queue: GatedQueue): void {
    const before = this.#active;
    this.#active = queue;
    before?.retire();
    queue.activate();
    if (before === null) return;
    this.#options.logger.info({ from: before.taskQueue, to: queue.taskQueue }, 'Claims come from another queue');
    this.#options.onChange(queue.taskQueue);
  }

  /** The Worker of a queue: one that is ending is awaited, because the SDK refuses two of them on one queue. */
  async #opened(taskQueue: string): Promise<RunningQueue> {
    const open = this.#running.get(taskQueue);
    if (open?.worker.getState() === 'RUNNING') return open;
    await open?.ended;
    const queue = new GatedQueue({
      ...{ taskQueue, gate: this.#options.gate },
      onPoll: async (polled) => this.#settle(polled),
      onLateTask: (late) => {
        // Nothing is claimed where the GPU is waited for, so it is this task that it has waited for.
        if (this.#active?.isIdle === true) this.#makeActive(late);
      },
      onDrained: () => {
        const drained = this.#running.get(taskQueue);
        if (drained?.queue === queue) shutDown(drained.worker);
      },
    });
    const worker = await this.#options.createWorker(queue);
    const running = { queue, worker, ended: this.#ran(queue, worker.run()) };
    this.#running.set(taskQueue, running);
    if (this.#stopping.signal.aborted) shutDown(worker);
    return running;
  }

  async #ran(queue: GatedQueue, run: Promise<void>): Promise<void> {
    try {
      await run;
      if (queue.isActive && !this.#stopping.signal.aborted)
        throw new Error(`The Worker of ${queue.taskQueue} has ended`);
    } catch (error) {
      this.#fail(error);
    } finally {
      queue.ended();
      if (this.#running.get(queue.taskQueue)?.queue === queue) this.#running.delete(queue.taskQueue);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.shutdown();
  }
}

function shutDown(worker: Pick<Worker, 'shutdown' | 'getState'>): void {
  if (worker.getState() === 'RUNNING') worker.shutdown();
}
