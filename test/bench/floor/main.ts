import { join } from 'node:path';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { announceReady, stopSignalOf } from '../../../infra/runtime/stop-signal.js';
import { temporalConfigFrom } from '../../../infra/runtime/temporal-connection.js';
import { SHARED_WORKER_OPTIONS } from '../../../workers/worker-options.js';
import { FLOOR_ACTIVITIES } from './contract.js';

/** One process with the Workers of a control worker and of FLOOR_BACKENDS GPU workers, as ours has them. */
const stop = stopSignalOf(process);
const { connection: options } = temporalConfigFrom(process.env);
const namespace = process.env['FLOOR_NAMESPACE'] ?? '';
const activities = Object.fromEntries(FLOOR_ACTIVITIES.map((name) => [name, async () => Promise.resolve()]));

Runtime.install({ logger: new DefaultLogger('WARN'), shutdownSignals: [] });
const workers = [await controlWorker()];
for (let index = 1; index <= Number(process.env['FLOOR_BACKENDS']); index += 1) {
  workers.push(...(await gpuWorkers(`backend-${index}`)));
}
stop.addEventListener('abort', () => {
  for (const worker of workers) worker.shutdown();
});
const running = workers.map(async (worker) => worker.run());
announceReady(process);
await Promise.all(running);
process.exit(0); // the connections end with the process

async function controlWorker(): Promise<Worker> {
  return Worker.create({
    ...SHARED_WORKER_OPTIONS,
    connection: await NativeConnection.connect(options),
    namespace,
    taskQueue: 'generation',
    workflowsPath: join(import.meta.dirname, 'workflow.js'),
    activities,
    maxCachedWorkflows: 300,
    stickyQueueScheduleToStartTimeout: '2 seconds',
  });
}

async function gpuWorkers(backendId: string): Promise<readonly Worker[]> {
  const shared = {
    ...SHARED_WORKER_OPTIONS,
    connection: await NativeConnection.connect(options),
    namespace,
    activities,
    maxConcurrentActivityTaskExecutions: 1_000,
  };
  return Promise.all(
    (
      [
        ['gpu', 1],
        [`gpu@${backendId}`, 2],
      ] as const
    ).map(async ([taskQueue, maximum]) =>
      Worker.create({ ...shared, taskQueue, activityTaskPollerBehavior: { type: 'simple-maximum', maximum } }),
    ),
  );
}
