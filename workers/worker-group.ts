import { GracefulShutdownPeriodExpiredError } from '@temporalio/worker';
import type { Logger } from '../infra/runtime/logger.js';

/** As much of a Worker as it takes to run one. */
export interface Runnable {
  run(): Promise<void>;
  shutdown(): void;
  getState(): string;
}

/** The Workers of one process: they run until it is to stop or anything of it fails, which ends all. */
export class WorkerGroup {
  readonly #stop: AbortSignal;
  readonly #logger: Logger;
  readonly #failed = new AbortController();
  readonly #running: Promise<void>[] = [];
  #failure: { readonly error: unknown } | null = null;
  /** Aborted when everything is to end, in order or because something has failed. */
  readonly ending: AbortSignal;

  constructor(stop: AbortSignal, logger: Logger) {
    this.#stop = stop;
    this.#logger = logger;
    this.ending = AbortSignal.any([stop, this.#failed.signal]);
  }

  /** Runs a Worker from now on. */
  run(worker: Runnable): void {
    const shutDown = (): void => {
      if (worker.getState() === 'RUNNING') worker.shutdown();
    };
    this.ending.addEventListener('abort', shutDown, { once: true });
    const running = worker.run();
    if (this.ending.aborted) shutDown();
    this.#running.push(
      running.then(
        () => {
          this.#failed.abort(); // one that ends takes the others with it
        },
        (error: unknown) => {
          this.#noteEnd(error);
        },
      ),
    );
  }

  /** Ends everything; the first error is the one that is thrown. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#failed.abort();
  }

  /** Resolves when every Worker has let go; throws what has failed. */
  async ended(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** An activity that did not let go in time is taken up again by the next worker: a stop that was asked for has worked. */
  #noteEnd(error: unknown): void {
    if (error instanceof GracefulShutdownPeriodExpiredError && this.#stop.aborted) {
      this.#logger.warn({ err: error }, 'An activity did not let go in time; the next worker takes it up');
    } else this.fail(error);
  }
}
