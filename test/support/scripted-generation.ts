import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import type { WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker, bundleWorkflowCode } from '@temporalio/worker';
import type { WorkflowBundle } from '@temporalio/worker';
import { projectRoot } from '../../infra/runtime/project-root.js';
import type { BackendActivities, ClaimActivities, ControlActivities } from '../../workflows/contracts/activities.js';
import type { GenerationInput } from '../../workflows/contracts/generation.js';
import { GENERATE_MEDIA, generationWorkflowId } from '../../workflows/contracts/generation.js';
import type { generateMedia } from '../../workflows/generate-media.js';
import { createTestNamespace, testServers } from './stack.js';
import { buildExpectedOutputs } from './expected-outputs.js';

export type ScriptedActivities = ClaimActivities & BackendActivities & ControlActivities;

/** A real Temporal server with real Workers, on which the test says what every activity does. */
export interface ScriptedTemporal {
  /** Runs one generation with these activities; the rest do what a healthy backend does. */
  readonly run: (
    script: Partial<ScriptedActivities>,
    limits?: Partial<GenerationInput['limits']>,
    memo?: Readonly<Record<string, unknown>>,
  ) => Promise<ScriptedRun>;
  readonly client: Client;
  readonly close: () => Promise<void>;
}

export interface ScriptedRun {
  readonly handle: WorkflowHandle<typeof generateMedia>;
  /** Activity names in the order of their calls, with what identifies the call. */
  readonly calls: readonly string[];
}

export async function startScriptedTemporal(): Promise<ScriptedTemporal> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const namespace = await createTestNamespace();
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: join(projectRoot, 'workflows', 'index.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  const connection = await NativeConnection.connect({ address: testServers().temporalAddress });
  const client = new Client({ connection, namespace });
  const stops: (() => Promise<void>)[] = [];
  return {
    client,
    async run(script, limits = {}, memo = {}) {
      await Promise.all(stops.splice(0).map(async (stop) => stop()));
      const calls: string[] = [];
      const activities = recorded({ ...healthy(), ...script }, calls);
      stops.push(await startWorkers({ connection, namespace, workflowBundle, activities }));
      const input = buildInput(limits);
      const handle = await client.workflow.start<typeof generateMedia>(GENERATE_MEDIA, {
        taskQueue: 'generation',
        workflowId: generationWorkflowId(input.generationId),
        args: [input],
        memo,
      });
      return { handle, calls };
    },
    async close() {
      await Promise.all(stops.splice(0).map(async (stop) => stop()));
      await connection.close();
    },
  };
}

async function startWorkers(options: {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly workflowBundle: WorkflowBundle;
  readonly activities: ScriptedActivities;
}): Promise<() => Promise<void>> {
  const { workflowBundle, ...shared } = options;
  const heartbeats = { maxHeartbeatThrottleInterval: '100 ms' } as const;
  const workers = await Promise.all([
    Worker.create({ ...shared, ...heartbeats, workflowBundle, taskQueue: 'generation' }),
    ...['gpu', 'gpu@b1'].map(async (taskQueue) => Worker.create({ ...shared, ...heartbeats, taskQueue })),
  ]);
  const running = workers.map(async (worker) => worker.run());
  return async () => {
    for (const worker of workers) worker.shutdown();
    await Promise.all(running);
  };
}

function recorded(activities: ScriptedActivities, calls: string[]): ScriptedActivities {
  const wrap = <I, R>(name: string, activity: (input: I) => Promise<R>, detail: (input: I) => string) => {
    return async (input: I): Promise<R> => {
      calls.push(`${name} ${detail(input)}`.trim());
      return activity(input);
    };
  };
  const promptOf = ({ promptId }: { readonly promptId: string }) => promptId;
  return {
    discoverBackend: wrap('discoverBackend', activities.discoverBackend, (input) => input.endedSubmissions.join()),
    submitPrompt: wrap('submitPrompt', activities.submitPrompt, promptOf),
    awaitCompletion: wrap('awaitCompletion', activities.awaitCompletion, promptOf),
    stopPrompt: wrap('stopPrompt', activities.stopPrompt, promptOf),
    downloadOutputs: wrap('downloadOutputs', activities.downloadOutputs, promptOf),
    validateOutputs: wrap('validateOutputs', activities.validateOutputs, promptOf),
    uploadOutputs: wrap('uploadOutputs', activities.uploadOutputs, promptOf),
    recordProgress: wrap('recordProgress', activities.recordProgress, ({ record }) => record.type),
    recordOutcome: wrap('recordOutcome', activities.recordOutcome, ({ status, failure }) =>
      failure === null ? status : `${status} ${failure.kind}`,
    ),
    observeBackend: wrap('observeBackend', activities.observeBackend, () => ''),
    freeMemory: async (input) => {
      calls.push('freeMemory');
      return activities.freeMemory(input);
    },
    adaptGraph: wrap('adaptGraph', activities.adaptGraph, ({ change }) => change),
    findOtherBackend: wrap('findOtherBackend', activities.findOtherBackend, ({ avoid }) => avoid.join()),
    explainNoCapacity: wrap('explainNoCapacity', activities.explainNoCapacity, () => ''),
  };
}

/** What the activities of a healthy backend answer: every claim a new number, every prompt one picture. */
function healthy(): ScriptedActivities {
  let submission = 0;
  const reference = {
    nodeId: '9',
    kind: 'image',
    file: { filename: 'a.png', subfolder: '', type: 'output' },
    textIndex: 0,
  } as const;
  const spooled = { index: 0, reference, bytes: 100, sha256: 'a'.repeat(64) };
  const valid = {
    ...spooled,
    mediaType: 'image/png',
    extension: 'png',
    widthPx: 64,
    heightPx: 64,
    frames: null,
    durationSeconds: null,
    isFlat: false,
  };
  return {
    async discoverBackend() {
      submission += 1;
      const promptId = `p${submission}`;
      return { backendId: 'b1', taskQueue: 'gpu@b1', submission, promptId, decision: 'new', device: 'gpu' };
    },
    submitPrompt: async () => ({ state: 'running', nodeCount: 3 }),
    awaitCompletion: async () => ({ outputs: [reference], startedAtMs: 1 }),
    stopPrompt: async () => ({ outcome: 'interrupted' }),
    downloadOutputs: async () => [spooled],
    validateOutputs: async () => [valid],
    uploadOutputs: async ({ generationId }) => [
      { ...valid, kind: 'image', objectKey: `jobs/${generationId}/image_0.png` },
    ],
    recordProgress: async () => undefined,
    recordOutcome: async () => undefined,
    observeBackend: async () => ({ isHeld: true }),
    freeMemory: async () => undefined,
    adaptGraph: async () => null,
    findOtherBackend: async () => ({ isThere: false, unsuitable: [] }),
    explainNoCapacity: async () => 'No ComfyUI answers. Tried 127.0.0.1:9 (connection refused).',
  };
}

function buildInput(limits: Partial<GenerationInput['limits']>): GenerationInput {
  return {
    generationId: `gen_${randomUUID()}`,
    accountId: 'default',
    template: 'test-card',
    graph: { key: 'graphs/a.json', sha256: 'a'.repeat(64) },
    pool: 'default',
    expected: buildExpectedOutputs(),
    limits: {
      startSeconds: 60,
      renderSeconds: 600,
      totalSeconds: null,
      stallSeconds: 180,
      backendReturnSeconds: 60,
      ...limits,
    },
    acceptedAtMs: Date.now(),
  };
}
