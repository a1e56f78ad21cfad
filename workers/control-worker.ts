import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import type { WorkerOptions } from '@temporalio/worker';
import { createAdaptGraph } from '../activities/adapt-graph.js';
import { createExplainNoCapacity } from '../activities/explain-no-capacity.js';
import { createFindOtherBackend } from '../activities/find-other-backend.js';
import { createObserveBackend } from '../activities/observe-backend.js';
import { createRecordOutcome } from '../activities/record-outcome.js';
import { createRecordProgress } from '../activities/record-progress.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import type { ControlActivities } from '../workflows/contracts/activities.js';
import { GENERATION_TASK_QUEUE } from '../workflows/contracts/task-queues.js';
import { openDatabase } from '../infra/postgres/database.js';
import { migrate } from '../infra/postgres/migrate.js';
import { ConfigError } from '../infra/runtime/env.js';
import type { Logger } from '../infra/runtime/logger.js';
import { projectRoot } from '../infra/runtime/project-root.js';
import type { ResourceStack } from '../infra/runtime/resource-stack.js';
import { connectToTemporal } from './connect-to-temporal.js';
import { latestRun } from './latest-run.js';
import { startOutboxRelay } from './outbox-relay.js';
import { startReconciliation } from './reconciliation.js';
import { ensureSearchAttributes } from './search-attributes.js';
import { SHARED_WORKER_OPTIONS } from './worker-options.js';
import type { WorkerConfig } from './worker-config.js';

export interface ControlWorkerOptions {
  readonly config: WorkerConfig;
  readonly store: ObjectStore;
  readonly logger: Logger;
  readonly resources: ResourceStack;
  /** Aborted when the process ends. */
  readonly ending: AbortSignal;
}

const POOL_SIZE = 10;

/** Workflow Tasks, records, and the relay that starts what was accepted. */
export async function createControlWorker(options: ControlWorkerOptions): Promise<Worker> {
  const { config, store, logger, resources, ending } = options;
  const { databaseUrl, temporal } = config;
  if (databaseUrl === null)
    throw new ConfigError('DATABASE_URL is not set, but a worker with the role control needs it');
  await migrate(databaseUrl, logger);
  const { database, close } = openDatabase({
    url: databaseUrl,
    poolSize: POOL_SIZE,
    onIdleError: (error) => {
      logger.warn({ err: error }, 'An idle database connection broke and is replaced');
    },
  });
  resources.add('database', close);
  const connection = await connectToTemporal({ temporal, logger, signal: ending });
  resources.add('control connection', async () => connection.close());
  const client = new Client({ connection, namespace: temporal.namespace });
  if (config.searchAttributes) await ensureSearchAttributes(client, logger);

  const activities: ControlActivities = {
    recordProgress: createRecordProgress({ database }),
    recordOutcome: createRecordOutcome({
      database,
      store,
      isLatestRun: async (generationId, runId) => {
        const latest = await latestRun(client, generationId);
        return latest.state !== 'missing' && latest.runId === runId;
      },
    }),
    observeBackend: createObserveBackend({ client }),
    adaptGraph: createAdaptGraph({ store }),
    findOtherBackend: createFindOtherBackend({ store }),
    explainNoCapacity: createExplainNoCapacity({ store }),
  };
  const worker = await Worker.create({
    ...SHARED_WORKER_OPTIONS,
    ...workflowCode(),
    connection,
    namespace: temporal.namespace,
    taskQueue: GENERATION_TASK_QUEUE,
    activities,
    maxCachedWorkflows: 300, // about 1 MB each
    // A worker that was killed keeps its sticky queue for this long before another gets the next Workflow Task.
    stickyQueueScheduleToStartTimeout: '2 seconds',
  });
  const relay = startOutboxRelay({ database, databaseUrl, client, logger, searchAttributes: config.searchAttributes });
  resources.add('outbox relay', async () => relay.stop());
  const { reconcileIntervalMs: intervalMs } = config;
  const reconciliation = startReconciliation({ database, store, client, logger, intervalMs });
  resources.add('reconciliation', async () => reconciliation.stop());
  return worker;
}

/** The bundle that the build made; without one (a checkout that was never built) the worker bundles for itself. */
function workflowCode(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const codePath = join(projectRoot, 'dist', 'workflow-bundle.js');
  if (existsSync(codePath)) return { workflowBundle: { codePath } };
  return { workflowsPath: join(projectRoot, 'workflows', 'index.ts') };
}
