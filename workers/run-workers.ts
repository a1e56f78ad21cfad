import { GracefulShutdownPeriodExpiredError, Runtime } from '@temporalio/worker';
import type { Worker } from '@temporalio/worker';
import { createObjectStore } from '../activities/storage/object-store.js';
import type { Logger } from '../infra/runtime/logger.js';
import type { ResourceStack } from '../infra/runtime/resource-stack.js';
import { createControlWorker } from './control-worker.js';
import { createGpuWorker } from './gpu-worker.js';
import { createTemporalLogger } from './temporal-logger.js';
import type { WorkerConfig } from './worker-config.js';

export interface RunWorkersOptions {
  readonly config: WorkerConfig;
  readonly logger: Logger;
  readonly resources: ResourceStack;
  /** Aborted when the process is to stop. */
  readonly stop: AbortSignal;
  readonly onReady: () => void;
}

/** Runs every Worker of this process until it is stopped or one of them fails, which ends all. */
export async function runWorkers({ config, logger, resources, stop, onReady }: RunWorkersOptions): Promise<void> {
  // No signal handling of its own: the composition root stops everything in one order.
  Runtime.install({ logger: createTemporalLogger(logger), shutdownSignals: [] });
  const store = createObjectStore(config.storage);
  await store.createBucketIfAbsent();
  const shared = { config, store, logger, resources };
  const workers: Worker[] = [];
  if (config.roles.includes('control')) workers.push(await createControlWorker(shared));
  if (config.roles.includes('gpu')) {
    for (const target of config.gpu.targets) workers.push(...(await createGpuWorker({ ...shared, target })));
  }
  const shutdownAll = (): void => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  stop.addEventListener('abort', shutdownAll, { once: true });
  const running = workers.map(async (worker) => worker.run().finally(shutdownAll));
  onReady();
  if (stop.aborted) shutdownAll();
  // Every Worker has let go before anything that they use is released.
  const results = await Promise.allSettled(running);
  for (const result of results) if (result.status === 'rejected') throwUnlessLate(result.reason, stop, logger);
}

/** An activity that did not let go in time is taken up again by the next worker: a stop that was asked for has worked. */
function throwUnlessLate(error: unknown, stop: AbortSignal, logger: Logger): void {
  if (!(error instanceof GracefulShutdownPeriodExpiredError) || !stop.aborted) throw error;
  logger.warn({ err: error }, 'An activity did not let go in time; the next worker takes it up');
}
