import { afterEach, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { temporalCommand } from '../support/temporal-command.js';
import { until } from '../support/until.js';
import { openDatabase } from '../../infra/postgres/database.js';

const simulators: SimulatorProcess[] = [];
let service: Service | null = null;

afterEach(async () => {
  await service?.stop();
  service = null;
  await Promise.all(simulators.splice(0).map(async (simulator) => simulator.stop()));
}, 120_000);

/** Two ComfyUIs whose renderings take 20 s. */
async function started(firstWorkerEnv: Readonly<Record<string, string>> = {}): Promise<Service> {
  simulators.push(await startSimulator({ secondsPerStep: 1 }), await startSimulator({ secondsPerStep: 1 }));
  service = await startService({
    comfyUrls: simulators.map(({ url }) => url),
    firstWorkerEnv,
    env: { RECONCILE_INTERVAL_MS: '2000' },
  });
  return service;
}

const body = (seed: number) => ({
  template: 'sd15-text-to-image',
  parameters: { prompt: 'a harbour', width: 64, height: 64, steps: 20, seed },
});

async function busy(running: Service, count: number): Promise<readonly SeenGeneration[]> {
  const generations: SeenGeneration[] = [];
  for (let seed = 1; seed <= count; seed += 1) generations.push(await running.submit(body(seed)));
  await until(
    'both GPUs render',
    async () => (await Promise.all(simulators.map(queueOf))).every((remaining) => remaining > 0),
    30_000,
  );
  return generations;
}

async function queueOf({ url }: SimulatorProcess): Promise<number> {
  const { exec_info: info } = (await (await fetch(`${url}/prompt`)).json()) as {
    exec_info: { queue_remaining: number };
  };
  return info.queue_remaining;
}

async function eventsOf(running: Service, id: string) {
  const { database, close } = openDatabase({ url: running.databaseUrl, poolSize: 1, onIdleError: () => undefined });
  try {
    const rows = await database.selectFrom('generation_events').selectAll().where('generation_id', '=', id).execute();
    return rows.map(({ type, data }) => ({ type, ...data }));
  } finally {
    await close();
  }
}

const state = async (running: Service) =>
  (await (await fetch(`${running.apiUrl}/v1/emergency-stop`)).json()) as {
    isStopped: boolean;
    completedAt: string | null;
    report: unknown;
  };

const STOPPED = {
  backends: [
    { gate: 'closed', isIdle: true },
    { gate: 'closed', isIdle: true },
  ],
};

async function expectAllCancelled(running: Service, generations: readonly SeenGeneration[]): Promise<void> {
  for (const { id } of generations) {
    expect(await running.get(id)).toMatchObject({ status: 'CANCELLED', outputs: [] });
    const audit = (await eventsOf(running, id)).filter((event) => 'emergencyStop' in event);
    expect(audit).toMatchObject([{ emergencyStop: '1', reason: 'smoke in the rack' }]);
  }
  expect(await Promise.all(simulators.map(queueOf))).toEqual([0, 0]);
}

test('R5.10 emergency stop: nothing is accepted, all is cancelled, every GPU is idle, and the report says so; resume', async () => {
  const running = await started();
  const generations = await busy(running, 8);
  const late = Promise.all(
    Array.from({ length: 20 }, async (_, index) => running.post('/v1/generations', body(100 + index))),
  );
  const answer = await running.post('/v1/emergency-stop', { reason: 'smoke in the rack' });
  const report = (await answer.json()) as { report: { generations: { cancelled: number } } };
  expect({ status: answer.status, ...report }).toMatchObject({
    ...{ status: 200, isStopped: true, reason: 'smoke in the rack' },
    report: { ...STOPPED, generations: { stillOpen: [] } },
  });
  const answers = await Promise.all(
    (await late).map(async (each) => ({ status: each.status, json: await each.json() })),
  );
  const accepted = answers.flatMap(({ status, json }) => (status === 202 ? [json as SeenGeneration] : []));
  expect(report.report.generations.cancelled).toBe(generations.length + accepted.length);
  await expectAllCancelled(running, [...generations, ...accepted]);

  const refused = await running.post('/v1/generations', body(999));
  expect({ status: refused.status, json: await refused.json() }).toMatchObject({
    ...{ status: 503, json: { code: 'service_stopped', detail: 'There is an emergency stop: smoke in the rack.' } },
  });
  const again = await running.post('/api/error-recovery/emergency-stop');
  expect(await again.json()).toMatchObject({ success: true, status: 'stopped', still_open_jobs: [] });

  const resumed = await running.post('/v1/resume');
  expect({ status: resumed.status, json: await resumed.json() }).toMatchObject({
    status: 200,
    json: { isStopped: false },
  });
  const { id } = await running.submit({ ...body(5), parameters: { ...body(5).parameters, steps: 1 } });
  await running.untilStatus(id, 'COMPLETED', 60_000);
  expect((await running.post('/v1/resume')).status).toBe(200);
}, 180_000);

test.each(['closeGates.mid', 'cancelOpenGenerations.mid', 'cancelOpenGenerations.after'])(
  'the worker is killed at %s: the stop is carried out all the same',
  async (crash) => {
    const running = await started({ CRASH_AT: crash });
    const generations = await busy(running, 6);
    const stopping = running.post('/v1/emergency-stop', { reason: 'smoke in the rack' });
    await running.workerEnded();
    await running.startWorker();
    await stopping;
    await until('everything stands still', async () => (await state(running)).completedAt !== null, 120_000);
    expect(await state(running)).toMatchObject({
      report: { ...STOPPED, generations: { cancelled: 6, stillOpen: [] } },
    });
    await expectAllCancelled(running, generations);
    expect((await running.post('/v1/resume')).status).toBe(200);
  },
  240_000,
);

test('operators do it with the temporal command, also to a stop whose Workflow was ended', async () => {
  const running = await started({ CRASH_AT: 'reopenService.mid' });
  const generations = await busy(running, 3);
  const workflow = ['--workflow-id', 'emergency-stop'];
  await temporalCommand(
    running.namespace,
    ...['workflow', 'start', ...workflow, '--type', 'emergencyStop', '--task-queue', 'generation'],
    ...['--input', JSON.stringify({ reason: 'smoke in the rack' })],
  );
  await until('everything stands still', async () => (await state(running)).completedAt !== null, 60_000);
  await expectAllCancelled(running, generations);
  await temporalCommand(running.namespace, 'workflow', 'terminate', ...workflow, '--reason', 'by mistake');
  expect((await running.post('/v1/generations', body(9))).status).toBe(503);
  await until(
    'it runs again',
    async () => (await running.temporal.workflow.getHandle('emergency-stop').describe()).status.name === 'RUNNING',
    30_000,
  );
  await temporalCommand(running.namespace, 'workflow', 'signal', ...workflow, '--name', 'resume');
  await running.workerEnded(); // between the gates and the intake
  await running.startWorker();
  await until('it is resumed', async () => !(await state(running)).isStopped, 60_000);
  const { id } = await running.submit({ ...body(5), parameters: { ...body(5).parameters, steps: 1 } });
  await running.untilStatus(id, 'COMPLETED', 60_000);
}, 240_000);
