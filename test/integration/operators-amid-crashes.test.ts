import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { backendStateQuery, backendWorkflowId } from '../../workflows/contracts/backend.js';
import type { BackendState } from '../../workflows/contracts/backend.js';
import type { NodeProcess } from '../support/node-process.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { temporalCommand } from '../support/temporal-command.js';
import { until } from '../support/until.js';

/** A control worker, an API and two GPU workers, each a process of its own that is killed alone. */
const BACKENDS = ['gpu-a', 'gpu-b'] as const;
type BackendId = (typeof BACKENDS)[number];
const CREDITS = 1_000;

let service: Service;
const simulators = new Map<BackendId, SimulatorProcess>();
const gpuWorkers = new Map<BackendId, NodeProcess>();
let seed = 0;

beforeAll(async () => {
  for (const backendId of BACKENDS) simulators.set(backendId, await startSimulator({ secondsPerStep: 0.5 }));
  service = await startService({
    comfyUrls: [...simulators.values()].map(({ url }) => url),
    env: { WORKER_ROLES: 'control', RECONCILE_INTERVAL_MS: '2000', SWEEP_INTERVAL_MS: '1000', PREFETCH: '0' },
  });
  for (const backendId of BACKENDS) await startGpuWorker(backendId);
  await service.post('/v1/accounts', { id: 'acme' });
  await service.post('/v1/accounts/acme/grants', { credits: CREDITS, reference: 'first' });
}, 240_000);

afterEach(async () => {
  await service.post('/v1/resume');
  for (const backendId of BACKENDS) await service.post(`/v1/backends/${backendId}/resume`);
});

afterAll(async () => {
  await Promise.all([...gpuWorkers.values()].map(async (worker) => worker.end('SIGTERM')));
  await service.stop(); // the checker finds credits that were not settled once, and prompts that were left behind
  await Promise.all([...simulators.values()].map(async (simulator) => simulator.stop()));
}, 120_000);

async function startGpuWorker(backendId: BackendId): Promise<void> {
  const env = { WORKER_ROLES: 'gpu', BACKEND_ID: backendId, COMFYUI_URL: simulatorOf(backendId).url };
  gpuWorkers.set(backendId, await service.startOther(backendId, env));
}

function simulatorOf(backendId: BackendId): SimulatorProcess {
  const simulator = simulators.get(backendId);
  if (simulator === undefined) throw new Error(`There is no simulator of ${backendId}`);
  return simulator;
}

/** Each kills with SIGKILL and starts again. */
const VICTIMS = {
  'a GPU worker': async () => {
    await gpuWorkers.get('gpu-a')?.end('SIGKILL');
    await startGpuWorker('gpu-a');
  },
  'the control worker': async () => {
    await service.killWorker();
    await service.startWorker();
  },
  'the API': async () => {
    await service.killApi();
    await service.startApi();
  },
} as const;
type Victim = keyof typeof VICTIMS;

async function submit(steps: number): Promise<SeenGeneration> {
  seed += 1;
  const parameters = { prompt: 'a pier', width: 64, height: 64, steps, seed };
  return service.submit({ template: 'sd15-text-to-image', parameters, account: 'acme' });
}

const renderingsOf = (backendId: BackendId, event: string) =>
  simulatorOf(backendId)
    .journal()
    .filter((entry) => entry.event === event).length;

async function untilBothRender(before: ReadonlyMap<BackendId, number>): Promise<void> {
  await until(
    'both GPUs render',
    async () => BACKENDS.every((each) => renderingsOf(each, 'rendering_started') > (before.get(each) ?? 0)),
    60_000,
  );
}

function startedSoFar(): ReadonlyMap<BackendId, number> {
  return new Map(BACKENDS.map((each) => [each, renderingsOf(each, 'rendering_started')]));
}

const stateOf = async (backendId: BackendId): Promise<BackendState> =>
  service.temporal.workflow.getHandle(backendWorkflowId(backendId)).query(backendStateQuery);

/** As `GET /v1/backends` shows it. */
async function untilGate(position: string): Promise<void> {
  await until(
    `the gate of gpu-a is shown as ${position}`,
    async () => {
      const answer = (await (await fetch(`${service.apiUrl}/v1/backends`)).json()) as {
        backends: { backendId: string; gate: string; state: string }[];
      };
      const shown = answer.backends.find((each) => each.backendId === 'gpu-a');
      if (shown?.gate === position && shown.state === 'fresh') return true;
      const { gate, gateSet, holder } = await stateOf('gpu-a');
      throw new Error(JSON.stringify({ shown, wanted: gate, gateSet, holder }));
    },
    60_000,
  );
}

/** Repeated while it is refused: a Temporal that is too busy is answered with 503, which asks for that. Throws the last refusal. */
async function posted(path: string, body?: unknown): Promise<void> {
  await until(path, async () => {
    const response = await service.post(path, body);
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
    return true;
  });
}

/** By REST, or as an operator does who has only Temporal. */
const DOORS = {
  REST: {
    toBackend: async (command: string) => posted(`/v1/backends/gpu-a/${command}`),
    stop: async () => posted('/v1/emergency-stop', { reason: 'smoke' }),
  },
  'the temporal command': {
    toBackend: async (command: string) =>
      void (await temporalCommand(
        service.namespace,
        ...['workflow', 'signal', '--workflow-id', backendWorkflowId('gpu-a'), '--name', command],
        ...(command === 'quarantine' ? ['--input', '"by an operator"'] : []),
      )),
    stop: async () =>
      void (await temporalCommand(
        service.namespace,
        ...['workflow', 'start', '--workflow-id', 'emergency-stop', '--type', 'emergencyStop'],
        ...['--task-queue', 'generation', '--input', JSON.stringify({ reason: 'smoke' })],
      )),
  },
} as const;
type Door = keyof typeof DOORS;

const CASES: readonly (readonly [Door, Victim])[] = [
  ['REST', 'a GPU worker'],
  ['the temporal command', 'the control worker'],
  ['REST', 'the API'],
];

describe('Drain', () => {
  test.each(CASES)(
    'R4.1 by %s while %s is killed: nothing new starts, what runs ends, then it says idle; the others go on',
    async (door, victim) => {
      const before = startedSoFar();
      const generations = [await submit(16), await submit(16)];
      await untilBothRender(before);
      generations.push(await submit(1), await submit(1)); // both GPUs are taken: they wait
      await DOORS[door].toBackend('drain');
      await VICTIMS[victim](); // a control worker that is away hears of it when it is back
      await untilGate('draining');
      const startedBefore = renderingsOf('gpu-a', 'rendering_started');
      await until('it says idle', async () => (await stateOf('gpu-a')).summary?.isIdle === true, 60_000);
      for (const { id } of generations) {
        const { attempts } = await service.untilStatus(id, 'COMPLETED', 60_000);
        expect(attempts).toEqual([]);
      }
      expect(renderingsOf('gpu-a', 'rendering_started')).toBe(startedBefore);
      expect(renderingsOf('gpu-a', 'rendering_finished')).toBe(startedBefore);
      const { raw } = await service.temporal.workflow.getHandle(backendWorkflowId('gpu-a')).describe();
      expect(raw.workflowExecutionInfo?.status).toBe(1); // it runs on, drained
      await DOORS[door].toBackend('resume');
      await untilGate('open');
    },
    240_000,
  );
});

describe('Quarantine', () => {
  test.each([
    ['REST', 'a GPU worker'],
    ['the temporal command', 'the control worker'],
  ] as const)(
    'R4.1 by %s while %s is killed: nothing is submitted until somebody resumes',
    async (door, victim) => {
      await DOORS[door].toBackend('quarantine');
      await VICTIMS[victim]();
      await untilGate('closed');
      const queuedBefore = renderingsOf('gpu-a', 'prompt_queued');
      const generations = [await submit(1), await submit(1), await submit(1)];
      for (const { id } of generations) await service.untilStatus(id, 'COMPLETED', 60_000);
      expect(renderingsOf('gpu-a', 'prompt_queued')).toBe(queuedBefore);
      expect((await stateOf('gpu-a')).gate.quarantine).toBe('by an operator');
      await DOORS[door].toBackend('resume');
      await untilGate('open');
    },
    180_000,
  );
});

interface StopState {
  readonly isStopped: boolean;
  readonly completedAt: string | null;
  readonly report: {
    readonly backends: readonly {
      readonly backendId: string;
      readonly gate: string;
      readonly isIdle: boolean | null;
    }[];
    readonly generations: { readonly cancelled: number; readonly stillOpen: readonly string[] };
  } | null;
}

const stopState = async (): Promise<StopState> =>
  (await (await fetch(`${service.apiUrl}/v1/emergency-stop`)).json()) as StopState;

/** The entries of each generation, and whether its own log names the stop. */
async function bookedFor(ids: readonly string[]) {
  const client = new pg.Client({ connectionString: service.databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ entries: string; stops: string }>(
      `SELECT (SELECT string_agg(kind, ',' ORDER BY id) FROM credit_entries WHERE generation_id = g.id) AS entries,
              (SELECT count(*) FROM generation_events e WHERE e.generation_id = g.id AND e.data ->> 'reason' = 'smoke') AS stops
         FROM generations g WHERE id = ANY($1)`,
      [ids],
    );
    return rows.map(({ entries, stops }) => ({ entries, stops: Number(stops) }));
  } finally {
    await client.end();
  }
}

describe('Emergency stop', () => {
  test.each(CASES)(
    'R5.10 by %s while %s is killed: it is carried out, credits are released once, and the report is complete',
    async (door, victim) => {
      const before = startedSoFar();
      const generations: SeenGeneration[] = [];
      for (let count = 0; count < 6; count += 1) generations.push(await submit(150)); // 75 s: none ends by itself
      await untilBothRender(before);
      const stopping = DOORS[door].stop().catch(() => undefined); // an API that is killed answers nothing
      await until('the intake is closed', async () => (await stopState()).isStopped);
      await VICTIMS[victim]();
      await stopping;
      const { report } = await until(
        'everything stands still',
        async () => {
          const state = await stopState();
          return state.completedAt === null ? null : state;
        },
        150_000,
      );
      expect(report?.generations).toEqual({ cancelled: generations.length, stillOpen: [] });
      expect(report?.backends).toEqual(BACKENDS.map((backendId) => ({ backendId, gate: 'closed', isIdle: true })));
      for (const { id } of generations) expect((await service.get(id)).status).toBe('CANCELLED');
      const booked = await bookedFor(generations.map(({ id }) => id));
      expect(booked).toEqual(generations.map(() => ({ entries: 'hold,release', stops: 1 })));
      expect((await service.post('/v1/generations', { template: 'test-card', parameters: {} })).status).toBe(503);
      expect((await service.post('/v1/resume')).status).toBe(200);
      const { id } = await submit(1);
      await service.untilStatus(id, 'COMPLETED', 60_000);
    },
    300_000,
  );
});
