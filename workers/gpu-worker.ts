import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { createAwaitCompletion } from '../activities/await-completion.js';
import { createComfyUIBackend } from '../activities/comfyui/comfyui-backend.js';
import type { ComfyUIBackend } from '../activities/comfyui/comfyui-backend.js';
import { GateSwitch } from '../activities/comfyui/gate-switch.js';
import { createSpool } from '../activities/comfyui/spool.js';
import { createDiscoverBackend } from '../activities/discover-backend.js';
import { createEnsureCurrent } from '../activities/ensure-current.js';
import { createDownloadOutputs } from '../activities/download-outputs.js';
import { createStopPrompt } from '../activities/stop-prompt.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import { createSubmitPrompt } from '../activities/submit-prompt.js';
import { createUploadOutputs } from '../activities/upload-outputs.js';
import { createValidateOutputs } from '../activities/validate-outputs.js';
import type { BackendActivities, ClaimActivities } from '../workflows/contracts/activities.js';
import { backendTaskQueue, gpuTaskQueue } from '../workflows/contracts/task-queues.js';
import type { ComfyUITarget } from '../infra/runtime/comfyui-config.js';
import type { Logger } from '../infra/runtime/logger.js';
import type { ResourceStack } from '../infra/runtime/resource-stack.js';
import { backendIdOf } from './backend-identity.js';
import { BackendReporter } from './backend-reporter.js';
import { GpuSlots } from './gpu-slots.js';
import { startOrphanSweep } from './orphan-sweep.js';
import { Surroundings } from './surroundings.js';
import { SHARED_WORKER_OPTIONS } from './worker-options.js';
import type { WorkerConfig } from './worker-config.js';

export interface GpuWorkerOptions {
  readonly config: WorkerConfig;
  readonly target: ComfyUITarget;
  readonly store: ObjectStore;
  readonly logger: Logger;
  readonly resources: ResourceStack;
}

/** Waiting costs next to nothing here; what is limited is limited by the gate and by the semaphore for decoding. */
const BACKEND_SLOTS = 1_000;
/** Decoding takes a whole core each; two let a small picture pass a large one. */
const MAX_DECODES = 2;

/** The two Workers of one ComfyUI: the gated one that claims, and the one on the backend's own queue. */
export async function createGpuWorker(options: GpuWorkerOptions): Promise<readonly Worker[]> {
  const { config, target, store, logger, resources } = options;
  const backendId = await backendIdOf(config.gpu, target, config.dataDir);
  const backend = createComfyUIBackend({ backendId, target, logger });
  resources.add(`backend ${backendId}`, async () => backend.close());
  const reporter = new BackendReporter({ ...config.gpu, backend, store, logger });
  resources.add(`reporter ${backendId}`, async () => reporter.stop());
  // A connection of its own: the SDK refuses two Workers on one queue (`gpu`) over one connection.
  const connection = await NativeConnection.connect(config.temporal.connection);
  resources.add(`connection ${backendId}`, async () => connection.close());

  const gate = new GateSwitch();
  const surroundings = new Surroundings({ spoolFolder: spoolFolderOf(config, backend), store, logger });
  const slots = new GpuSlots({ ...config.gpu, backend, gate, surroundings, logger });
  resources.add(`gate ${backendId}`, async () => slots.close());
  const { ensureCurrent, close } = createEnsureCurrent();
  resources.add(`pauses ${backendId}`, async () => close());
  const shared = { ...SHARED_WORKER_OPTIONS, connection, namespace: config.temporal.namespace };
  const claiming = await Worker.create({
    ...shared,
    identity: `${backendId} claims`,
    taskQueue: gpuTaskQueue(config.gpu.pool),
    activities: claimActivities({ backend, store, slots, ensureCurrent }),
    tuner: {
      activityTaskSlotSupplier: slots,
      workflowTaskSlotSupplier: { type: 'fixed-size', numSlots: 2 },
      localActivityTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
      nexusTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
    },
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 1 },
  });
  const rendering = await Worker.create({
    ...shared,
    identity: backendId,
    taskQueue: backendTaskQueue(backendId),
    activities: backendActivities({ ...options, backend, gate, slots }),
    maxConcurrentActivityTaskExecutions: BACKEND_SLOTS,
    activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
  });
  reporter.start();
  const client = new Client({ connection, namespace: config.temporal.namespace });
  const sweep = startOrphanSweep({ backend, store, client, intervalMs: config.gpu.sweepIntervalMs, logger });
  resources.add(`sweep ${backendId}`, async () => sweep.stop());
  logger.info({ backendId, pool: config.gpu.pool, capacity: slots.capacity }, 'GPU worker is polling');
  return [claiming, rendering];
}

function claimActivities(deps: {
  readonly backend: ComfyUIBackend;
  readonly store: ObjectStore;
  readonly slots: GpuSlots;
  readonly ensureCurrent: () => Promise<void>;
}): ClaimActivities {
  return { discoverBackend: createDiscoverBackend(deps) };
}

function spoolFolderOf({ dataDir }: WorkerConfig, { backendId }: ComfyUIBackend): string {
  return join(dataDir, 'spool', backendId);
}

function backendActivities(
  deps: GpuWorkerOptions & {
    readonly backend: ComfyUIBackend;
    readonly gate: GateSwitch;
    readonly slots: GpuSlots;
  },
): BackendActivities {
  const { backend, gate, store, slots, logger, config } = deps;
  const spool = createSpool({ folder: spoolFolderOf(config, backend), backend, logger });
  return {
    submitPrompt: createSubmitPrompt({ backend, store, gate, maxQueued: slots.capacity, claims: slots }),
    awaitCompletion: createAwaitCompletion({ backend, pollIntervalMs: config.gpu.pollIntervalMs }),
    stopPrompt: createStopPrompt({ backend }),
    downloadOutputs: createDownloadOutputs({ spool }),
    validateOutputs: createValidateOutputs({ spool, maxDecodes: MAX_DECODES }),
    uploadOutputs: createUploadOutputs({ spool, store }),
  };
}
