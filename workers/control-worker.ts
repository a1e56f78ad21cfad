import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import type { NativeConnection, WorkerOptions } from '@temporalio/worker';
import { createAwaitFal } from '../activities/await-fal.js';
import { createEmergencyStop } from '../activities/emergency/emergency-stop.js';
import { createDownloadOutputs } from '../activities/download-outputs.js';
import { createFalClient } from '../activities/fal/fal-client.js';
import { createFetchFalOutput } from '../activities/fal/fetch-fal-output.js';
import { createLateAttempt } from '../activities/late-attempt.js';
import { createReserveFal } from '../activities/reserve-fal.js';
import { createSpool } from '../activities/spool/spool.js';
import type { Spool } from '../activities/spool/spool.js';
import { createSubmitToFal } from '../activities/submit-to-fal.js';
import { createUploadOutputs } from '../activities/upload-outputs.js';
import { createValidateOutputs } from '../activities/validate-outputs.js';
import { createAdaptGraph } from '../activities/adapt-graph.js';
import { createExplainNoCapacity } from '../activities/explain-no-capacity.js';
import { createFindOtherBackend } from '../activities/find-other-backend.js';
import { createInheritCheckpoint } from '../activities/inherit-checkpoint.js';
import { createObserveBackend } from '../activities/observe-backend.js';
import { createRecordOutcome } from '../activities/record-outcome.js';
import { createRecordProgress } from '../activities/record-progress.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import type { BackendActivities, ControlActivities } from '../workflows/contracts/activities.js';
import type { CheckpointActivities } from '../workflows/contracts/checkpoint.js';
import type { EmergencyStopActivities } from '../workflows/contracts/emergency-stop.js';
import type { FalActivities } from '../workflows/contracts/fal.js';
import type { ControlUpkeep } from '../workflows/contracts/upkeep.js';
import { GENERATION_TASK_QUEUE } from '../workflows/contracts/task-queues.js';
import { suspectPauseMs } from '../workflows/domain/worker-timings.js';
import { openDatabase } from '../infra/postgres/database.js';
import type { Database } from '../infra/postgres/database.js';
import { migrate } from '../infra/postgres/migrate.js';
import { ConfigError } from '../infra/runtime/env.js';
import type { Logger } from '../infra/runtime/logger.js';
import { projectRoot } from '../infra/runtime/project-root.js';
import type { ResourceStack } from '../infra/runtime/resource-stack.js';
import { controlUpkeep } from './control-upkeep.js';
import { startDemandPublisher } from './demand-publisher.js';
import { startFleetWatcher } from './fleet-watcher.js';
import { latestRun } from './latest-run.js';
import { startBatchFeeder } from './batch-feeder.js';
import { startOutboxRelay } from './outbox-relay.js';
import { startReconciliation } from './reconciliation.js';
import { startUpkeepSchedules } from './upkeep-schedules.js';
import { ensureSearchAttributes } from './search-attributes.js';
import { SHARED_WORKER_OPTIONS } from './worker-options.js';
import type { WorkerConfig } from './worker-config.js';

export interface ControlWorkerOptions {
  readonly config: WorkerConfig;
  readonly store: ObjectStore;
  readonly connection: NativeConnection;
  readonly client: Client;
  readonly logger: Logger;
  readonly resources: ResourceStack;
}

const POOL_SIZE = 10;
/** Requests on fal.ai are waited for in slots; records must not wait behind them. */
const ACTIVITY_SLOTS = 1_000;
/** Decoding takes a whole core each. */
const MAX_DECODES = 2;

/** What a GPU worker does with the files of its ComfyUI is done here with those of fal.ai. */
type CollectingActivities = Pick<BackendActivities, 'downloadOutputs' | 'validateOutputs' | 'uploadOutputs'>;

type AllActivities = ControlActivities &
  CheckpointActivities &
  FalActivities &
  CollectingActivities &
  EmergencyStopActivities &
  ControlUpkeep;

/** Workflow Tasks, records, and the relay that starts what was accepted. */
export async function createControlWorker(options: ControlWorkerOptions): Promise<Worker> {
  const { config, store, connection, client, logger, resources } = options;
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
  if (config.searchAttributes) await ensureSearchAttributes(client, logger);

  const hasKey = config.fal.key !== null;
  const { spool, ...falActivities } = await createFalActivities(options, database);
  const activities: AllActivities = {
    recordProgress: createRecordProgress({ database }),
    recordOutcome: createRecordOutcome({
      database,
      store,
      falSpool: spool,
      isLatestRun: async (generationId, runId) => {
        const latest = await latestRun(client, generationId);
        return latest.state !== 'missing' && latest.runId === runId;
      },
    }),
    observeBackend: createObserveBackend({ client }),
    adaptGraph: createAdaptGraph({ store }),
    inheritCheckpoint: createInheritCheckpoint({ database, store }),
    findOtherBackend: createFindOtherBackend({ store }),
    explainNoCapacity: createExplainNoCapacity({ store, hasKey }),
    ...falActivities,
    ...createEmergencyStop({ database, client }),
    ...controlUpkeep({ database, store, client, spoolFolder: falSpoolFolderOf(config), upkeep: config.upkeep }),
  };
  const worker = await Worker.create({
    ...SHARED_WORKER_OPTIONS,
    ...workflowCode(),
    connection,
    namespace: temporal.namespace,
    taskQueue: GENERATION_TASK_QUEUE,
    activities,
    maxConcurrentActivityTaskExecutions: ACTIVITY_SLOTS,
    maxCachedWorkflows: 300, // about 1 MB each
    // A worker that was killed keeps its sticky queue for this long before another gets the next Workflow Task.
    stickyQueueScheduleToStartTimeout: '2 seconds',
  });
  startCompanions(options, { database, databaseUrl, client });
  return worker;
}

/** What a control worker does beside its activities, for as long as the process lives. */
function startCompanions(
  { config, store, logger, resources }: ControlWorkerOptions,
  {
    database,
    databaseUrl,
    client,
  }: { readonly database: Database; readonly databaseUrl: string; readonly client: Client },
): void {
  const demand = startDemandPublisher({ database, databaseUrl, client, store, logger });
  resources.add('demand publisher', async () => demand.stop());
  const { searchAttributes, timings } = config;
  const onStarted = demand.ring;
  const relay = startOutboxRelay({ database, databaseUrl, client, logger, searchAttributes, timings, onStarted });
  resources.add('outbox relay', async () => relay.stop());
  const feeder = startBatchFeeder({ database, logger, window: config.batchWindow });
  resources.add('batch feeder', async () => feeder.stop());
  const { reconcileIntervalMs: intervalMs } = config;
  const reconciliation = startReconciliation({ database, store, client, logger, intervalMs });
  resources.add('reconciliation', async () => reconciliation.stop());
  const schedules = startUpkeepSchedules({ client, logger, ...config.upkeep });
  resources.add('schedules of upkeep', async () => schedules.stop());
  if (config.fal.key !== null) {
    const { fallbackAfterSeconds } = config;
    const watcher = startFleetWatcher({ database, store, client, logger, fallbackAfterSeconds });
    resources.add('fleet watcher', async () => watcher.stop());
  }
}

/** Everything that is done with fal.ai, and the disk between it and the object store. */
async function createFalActivities(
  { config, store, resources }: ControlWorkerOptions,
  database: Database,
): Promise<FalActivities & CollectingActivities & { readonly spool: Spool }> {
  const fal = createFalClient(config.fal);
  if (fal !== null) resources.add('fal.ai', async () => fal.close());
  const fetch = createFetchFalOutput({ fal, downloadMs: config.downloadMs });
  const spool = createSpool({ folder: falSpoolFolderOf(config), fetch });
  for (const id of await spool.generationIds()) await spool.remove(id); // whoever needs it fetches it again
  const late = createLateAttempt(suspectPauseMs(config.timings));
  resources.add('pauses of the control worker', async () => late.close());
  return {
    spool,
    reserveFal: createReserveFal({ database, hasKey: fal !== null, ceilings: config.fal.ceilings }),
    submitToFal: createSubmitToFal({ fal, store }),
    awaitFal: createAwaitFal({ fal }),
    downloadOutputs: createDownloadOutputs({ spool }),
    validateOutputs: createValidateOutputs({ spool, store, maxDecodes: MAX_DECODES, ffmpegPath: config.ffmpegPath }),
    uploadOutputs: createUploadOutputs({ spool, store, late }),
  };
}

function falSpoolFolderOf({ dataDir }: WorkerConfig): string {
  return join(dataDir, 'spool', 'fal');
}

/** The bundle that the build made; without one (a checkout that was never built) the worker bundles for itself. */
function workflowCode(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const codePath = join(projectRoot, 'dist', 'workflow-bundle.js');
  if (existsSync(codePath)) return { workflowBundle: { codePath } };
  return { workflowsPath: join(projectRoot, 'workflows', 'index.ts') };
}
