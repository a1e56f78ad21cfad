import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { Runtime } from '@temporalio/worker';
import { createObjectStore } from '../activities/storage/object-store.js';
import type { Logger } from '../infra/runtime/logger.js';
import type { ResourceStack } from '../infra/runtime/resource-stack.js';
import { connectToTemporal } from './connect-to-temporal.js';
import { createControlWorker } from './control-worker.js';
import { DemandWatch } from './demand-watch.js';
import { createGpuWorker } from './gpu-worker.js';
import { readRecoveryRules } from './read-recovery-rules.js';
import { startProcessFigures, telemetryOptionsOf } from './telemetry.js';
import { createTemporalLogger } from './temporal-logger.js';
import type { WorkerConfig } from './worker-config.js';
import { WorkerGroup } from './worker-group.js';

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
  const { metrics } = config;
  Runtime.install({ logger: createTemporalLogger(logger), shutdownSignals: [], ...telemetryOptionsOf(metrics) });
  if (metrics !== null) {
    const figures = startProcessFigures({ spoolFolder: join(config.dataDir, 'spool') });
    resources.add('process figures', figures.stop);
    logger.info({ url: `http://${metrics.host}:${metrics.port}/metrics` }, 'Metrics are served');
  }
  const { recoveryConfigPath } = config.gpu;
  const rules = config.roles.includes('gpu') ? await readRecoveryRules(recoveryConfigPath) : [];
  const store = createObjectStore(config.storage);
  await store.createBucketIfAbsent();
  const group = new WorkerGroup(stop, logger);
  const start = async (): Promise<void> => {
    const { ending } = group;
    // One for all calls of the process: the SDK keeps their deadlines in an `AsyncLocalStorage` of the connection.
    const connection = await connectToTemporal({ temporal: config.temporal, logger, signal: ending });
    resources.add('connection', async () => connection.close());
    const client = new Client({ connection, namespace: config.temporal.namespace });
    const shared = { config, store, client, logger, resources, ending };
    const startControl = async (): Promise<void> => {
      group.run(await createControlWorker({ ...shared, connection }));
    };
    const demand = new DemandWatch({ store, pool: config.gpu.pool, logger });
    const startGpus = config.gpu.targets.map((target, index) => async (): Promise<void> => {
      const onLost = (reason: unknown): void => {
        group.fail(reason);
      };
      const comfyUIDir = config.gpu.comfyUIDirs[index] ?? null;
      for (const worker of await createGpuWorker({ ...shared, demand, rules, target, comfyUIDir, onLost }))
        group.run(worker);
    });
    // In this order: a GPU worker acquires its backend from a Workflow, and that needs a control worker.
    if (config.roles.includes('control')) await started([startControl], group);
    if (config.roles.includes('gpu')) await started(startGpus, group);
  };
  await started([start], group);
  if (!group.ending.aborted) onReady();
  // Every Worker has let go before anything that they use is released.
  await group.ended();
}

/** Waits for all, also after one has failed: each holds resources that are released later. */
async function started(starts: readonly (() => Promise<void>)[], group: WorkerGroup): Promise<void> {
  await Promise.all(
    starts.map(async (start) => {
      try {
        if (!group.ending.aborted) await start();
      } catch (error) {
        if (!group.ending.aborted) group.fail(error); // what ends because all ends is no failure
      }
    }),
  );
}
