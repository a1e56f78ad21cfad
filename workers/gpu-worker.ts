import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import type { NativeConnection } from '@temporalio/worker';
import type { BackendHold } from '../activities/backend-hold.js';
import { createAwaitCompletion } from '../activities/await-completion.js';
import { createComfyUIBackend } from '../activities/comfyui/comfyui-backend.js';
import type { ComfyUIBackend } from '../activities/comfyui/comfyui-backend.js';
import { createFetchOutput } from '../activities/comfyui/fetch-output.js';
import { GateSwitch } from '../activities/comfyui/gate-switch.js';
import { createSpool } from '../activities/spool/spool.js';
import type { Spool } from '../activities/spool/spool.js';
import { createInputFiles } from '../activities/comfyui/input-files.js';
import type { InputFiles } from '../activities/comfyui/input-files.js';
import { createDiscoverBackend } from '../activities/discover-backend.js';
import { createFreeMemory } from '../activities/free-memory.js';
import { createLateAttempt } from '../activities/late-attempt.js';
import type { LateAttempt } from '../activities/late-attempt.js';
import { createDownloadOutputs } from '../activities/download-outputs.js';
import { createSetGate } from '../activities/set-gate.js';
import { createStopPrompt } from '../activities/stop-prompt.js';
import { createGraphReader } from '../activities/storage/graph-reader.js';
import type { GraphReader } from '../activities/storage/graph-reader.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import { createSubmitPrompt } from '../activities/submit-prompt.js';
import { createTendBackend } from '../activities/tend-backend.js';
import { createUploadOutputs } from '../activities/upload-outputs.js';
import { createValidateOutputs } from '../activities/validate-outputs.js';
import type { BackendActivities, ClaimActivities } from '../workflows/contracts/activities.js';
import { backendWorkflowId, summarySignal } from '../workflows/contracts/backend.js';
import type { BackendOperations, BackendSummary } from '../workflows/contracts/backend.js';
import { backendTaskQueue, gpuTaskQueue } from '../workflows/contracts/task-queues.js';
import { suspectPauseMs } from '../workflows/domain/worker-timings.js';
import type { ComfyUITarget } from '../infra/runtime/comfyui-config.js';
import type { OperatorRule } from '../activities/failures/operator-rules.js';
import type { Logger } from '../infra/runtime/logger.js';
import { createScratch } from '../infra/runtime/scratch.js';
import type { ResourceStack } from '../infra/runtime/resource-stack.js';
import { backendIdOf } from './backend-identity.js';
import { backendUpkeep } from './backend-upkeep.js';
import { BackendLease } from './backend-lease.js';
import { BackendReporter } from './backend-reporter.js';
import { connectForPolling } from './connect-to-temporal.js';
import { claimOnQueue } from './claim-on-queue.js';
import type { DemandWatch } from './demand-watch.js';
import type { GatedQueue } from './gated-queue.js';
import { GatedQueues } from './gated-queues.js';
import { readSpoolFigures } from './spool-figures.js';
import { GpuSlots } from './gpu-slots.js';
import { GpuUsage, noteClaims, noteSubmissions } from './gpu-usage.js';
import { freePlaceWithoutClaim, keepPlaceOnFailure } from './keep-place.js';
import { startOrphanSweep } from './orphan-sweep.js';
import { PollingState } from './polling-state.js';
import { Surroundings } from './surroundings.js';
import { SHARED_WORKER_OPTIONS } from './worker-options.js';
import type { WorkerConfig } from './worker-config.js';
import type { Runnable } from './worker-group.js';

export interface GpuWorkerOptions {
  readonly config: WorkerConfig;
  readonly target: ComfyUITarget;
  /** Its folders, `null` where they cannot be reached from here. */
  readonly comfyUIDir: string | null;
  readonly rules: readonly OperatorRule[];
  readonly store: ObjectStore;
  readonly client: Client;
  /** Of the pool: one for all backends of this process. */
  readonly demand: DemandWatch;
  readonly logger: Logger;
  readonly resources: ResourceStack;
  /** Aborted when the process ends. */
  readonly ending: AbortSignal;
  /** Called when another process turns out to hold this backend's id: this one must end. */
  readonly onLost: (reason: unknown) => void;
}

/** Waiting costs next to nothing here; what is limited is limited by the gate and by the semaphore for decoding. */
const BACKEND_SLOTS = 1_000;
/** Decoding takes a whole core each; two let a small picture pass a large one. */
const MAX_DECODES = 2;
/** A change that Temporal cannot be told of now is told later. */
const TELL_WITHIN_MS = 5_000;

/** What the two Workers of one backend have in common. */
interface Backing extends GpuWorkerOptions {
  readonly backend: ComfyUIBackend;
  readonly gate: GateSwitch;
  readonly hold: BackendHold;
  readonly slots: GpuSlots;
  readonly usage: GpuUsage;
  readonly spool: Spool;
  readonly inputs: InputFiles;
  readonly late: LateAttempt;
  readonly polling: PollingState;
  readonly readKeptGraph: GraphReader;
}

/**
 * The two Workers of one ComfyUI: the gated one that claims, and the one on the backend's own queue. Resolves when this
 * process holds the backend's id, so that nothing is claimed before.
 */
export async function createGpuWorker(options: GpuWorkerOptions): Promise<readonly Runnable[]> {
  const { config, target, store, client, logger, resources, ending, onLost } = options;
  const { temporal, gpu } = config;
  const backendId = await backendIdOf(gpu, target, config.dataDir);
  const gate = new GateSwitch();
  const backend = createComfyUIBackend({ backendId, target, logger });
  resources.add(`backend ${backendId}`, async () => backend.close());
  // Its Workers' own: the SDK refuses two Workers on one queue (`gpu`) over one connection.
  const connection = await connectForPolling({ temporal, logger, signal: ending });
  resources.add(`connection ${backendId}`, async () => connection.close());
  const lease = await BackendLease.acquire({
    ...{ client, backendId, gate, logger, onLost },
    ...{ canary: backend.canary, signal: ending, silenceSeconds: config.timings.heartbeatTimeoutSeconds },
  });

  const polling = new PollingState(gpuTaskQueue(gpu.pool));
  const usage = new GpuUsage();
  gate.onChange(() => {
    if (gate.position === 'open') usage.noteOpened();
  });
  const reporter = new BackendReporter({
    ...{ ...gpu, backend, gate, store, logger, polling },
    usage: () => usage.figures(),
    disk: async () => readSpoolFigures(spoolFolderOf(config, backend)),
  });
  resources.add(`reporter ${backendId}`, async () => reporter.stop());
  const surroundings = new Surroundings({ spoolFolder: spoolFolderOf(config, backend), store, logger });
  const slots = new GpuSlots({
    ...{ ...gpu, backend, gate, surroundings, logger },
    onQueue: (remaining) => {
      usage.noteQueue(remaining);
    },
  });
  resources.add(`gate ${backendId}`, async () => slots.close());
  const late = createLateAttempt(suspectPauseMs(config.timings));
  resources.add(`pauses ${backendId}`, async () => late.close());
  const fetch = createFetchOutput({ backend, logger, downloadMs: config.downloadMs });
  const spool = createSpool({ folder: spoolFolderOf(config, backend), fetch });
  const scratch = await createScratch(join(config.dataDir, 'inputs', backendId));
  const readKeptGraph = createGraphReader(store);
  const inputs = createInputFiles({ store, scratch });
  const backing = {
    ...{ ...options, backend, gate, hold: lease, slots, usage, spool, inputs, late, polling, readKeptGraph },
  };
  const workers = await createWorkers(backing, connection);
  reporter.start();
  const sweep = startOrphanSweep({ backend, spool, store, client, intervalMs: gpu.sweepIntervalMs, logger });
  resources.add(`sweep ${backendId}`, async () => sweep.stop());
  const keeping = lease.keep();
  resources.add(`lease ${backendId}`, async () => keeping);
  logger.info({ backendId, pool: gpu.pool, capacity: slots.capacity, gate: gate.position }, 'GPU worker is polling');
  return workers;
}

async function createWorkers(backing: Backing, connection: NativeConnection): Promise<readonly Runnable[]> {
  const { config, slots, comfyUIDir, store } = backing;
  const { backendId } = backing.backend;
  const shared = { ...SHARED_WORKER_OPTIONS, connection, namespace: config.temporal.namespace };
  const claiming = createGatedQueues(backing, async (queue) =>
    Worker.create({
      ...shared,
      identity: `${backendId} claims`,
      taskQueue: queue.taskQueue,
      activities: claimOnQueue(claimActivities(backing), queue),
      tuner: {
        activityTaskSlotSupplier: queue,
        workflowTaskSlotSupplier: { type: 'fixed-size', numSlots: 2 },
        localActivityTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
        nexusTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
      },
      activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 1 },
    }),
  );
  const rendering = await Worker.create({
    ...shared,
    identity: backendId,
    taskQueue: backendTaskQueue(backendId),
    activities: {
      ...keepPlaceOnFailure(noteSubmissions(backendActivities(backing), backing.usage), slots),
      ...freePlaceWithoutClaim(claimActivities(backing), backendId, slots), // of generations that come back
      ...backendOperations(backing),
      ...backendUpkeep({
        comfyUIDir,
        store,
        upkeep: config.upkeep,
        spoolFolder: spoolFolderOf(config, backing.backend),
      }),
    },
    maxConcurrentActivityTaskExecutions: BACKEND_SLOTS,
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
  });
  return [claiming, rendering];
}

function createGatedQueues(
  { backend, config, slots, demand, logger, polling }: Backing,
  createWorker: (queue: GatedQueue) => Promise<Worker>,
): GatedQueues {
  const { affinityMs } = config.gpu;
  const { backendId } = backend;
  return new GatedQueues({
    home: polling.report.polls,
    gate: slots,
    demand,
    chooser: () => ({ backendId, offers: polling.offers, loadedModels: polling.report.loadedModels, affinityMs }),
    createWorker,
    logger: logger.child({ backendId }),
    onChange: (taskQueue) => {
      polling.changedTo(taskQueue);
    },
  });
}

function claimActivities(backing: Backing): ClaimActivities {
  const discoverBackend = createDiscoverBackend({ ...backing, pool: backing.config.gpu.pool });
  return noteClaims({ discoverBackend }, backing.usage);
}

function spoolFolderOf({ dataDir }: WorkerConfig, { backendId }: ComfyUIBackend): string {
  return join(dataDir, 'spool', backendId);
}

function backendActivities(backing: Backing): BackendActivities {
  const { backend, gate, store, slots, spool, inputs, config, late, rules, polling, readKeptGraph } = backing;
  const { capacity: maxQueued } = slots;
  const onModels = polling.loaded.bind(polling);
  return {
    submitPrompt: createSubmitPrompt({
      backend,
      store,
      readKeptGraph,
      inputs,
      gate,
      rules,
      maxQueued,
      claims: slots,
      onModels,
    }),
    awaitCompletion: createAwaitCompletion({
      backend,
      rules,
      pollIntervalMs: config.gpu.pollIntervalMs,
      claims: slots,
    }),
    stopPrompt: createStopPrompt({ backend }),
    freeMemory: createFreeMemory({ backend }),
    downloadOutputs: createDownloadOutputs({ spool }),
    validateOutputs: createValidateOutputs({ spool, store, maxDecodes: MAX_DECODES, ffmpegPath: config.ffmpegPath }),
    uploadOutputs: createUploadOutputs({ spool, store, late }),
  };
}

function backendOperations({ backend, gate, hold, client, polling }: Backing): BackendOperations {
  const handle = client.workflow.getHandle(backendWorkflowId(backend.backendId));
  const tell = async (summary: BackendSummary): Promise<void> =>
    client.withDeadline(Date.now() + TELL_WITHIN_MS, async () => handle.signal(summarySignal, summary));
  return {
    tendBackend: createTendBackend({ backend, gate, hold, polling, tell }),
    setGate: createSetGate({ backend, gate, hold }),
  };
}
