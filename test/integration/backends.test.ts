import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { backendStateQuery, backendWorkflowId } from '../../workflows/contracts/backend.js';
import type { BackendState } from '../../workflows/contracts/backend.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { testServers } from '../support/stack.js';
import { until } from '../support/until.js';

const run = promisify(execFile);
let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.2 });
  service = await startService({ comfyUrls: [simulator.url], env: { BACKEND_ID: 'gpu-a' } });
}, 90_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

const handle = () => service.temporal.workflow.getHandle(backendWorkflowId('gpu-a'));
const state = async (): Promise<BackendState> => handle().query(backendStateQuery);

async function render(steps: number): Promise<SeenGeneration> {
  return service.submit({
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a harbour', width: 64, height: 64, steps, seed: 1 },
  });
}

async function shown(): Promise<{ readonly gate: string; readonly gateHolds: unknown } | undefined> {
  const answer = (await (await fetch(`${service.apiUrl}/v1/backends`)).json()) as {
    backends: { backendId: string; gate: string; gateHolds: unknown }[];
  };
  return answer.backends.find(({ backendId }) => backendId === 'gpu-a');
}

const gateShown = async (): Promise<string | undefined> => (await shown())?.gate;
const holdsShown = async (): Promise<string> => JSON.stringify((await shown())?.gateHolds);

async function untilGate(position: string): Promise<void> {
  await until(`the gate is ${position}`, async () => (await gateShown()) === position, 30_000);
  await until('its Workflow knows', async () => {
    const { gateAnswer, gate } = await state();
    return position === 'open' ? !gate.isDrained && gate.quarantine === null : gateAnswer?.position === position;
  });
}

async function temporalCommand(...args: readonly string[]): Promise<void> {
  const { temporalCliPath, temporalAddress } = testServers();
  const env = { ...process.env, TEMPORAL_ADDRESS: temporalAddress, TEMPORAL_NAMESPACE: service.namespace };
  await run(temporalCliPath, [...args, '--workflow-id', backendWorkflowId('gpu-a')], { env, timeout: 20_000 });
}

async function untilTendedBy(isOther: (holderId: string, runId: string) => boolean): Promise<void> {
  await until(
    'the backend is tended',
    async () => {
      const [{ holder }, { runId, raw }] = await Promise.all([state(), handle().describe()]);
      const isTended = raw.pendingActivities?.some(
        ({ activityType, lastHeartbeatTime }) => activityType?.name === 'tendBackend' && lastHeartbeatTime != null,
      );
      return isTended === true && holder !== null && isOther(holder.holderId, runId);
    },
    40_000,
  );
}

describe('one worker for each backend id', () => {
  test('a second live process refuses to start and says who is in its way; the first goes on', async () => {
    await untilTendedBy(() => true);
    const { holder } = await state();
    const refusal = service.startOther('second', { WORKER_ROLES: 'gpu' });
    const { id } = await render(10);
    await expect(refusal).rejects.toThrow(/Ended with 1 before it was ready/);
    await expect(refusal).rejects.toThrow(
      new RegExp(`backend id \\\\"gpu-a\\\\" belongs to process ${String(holder?.pid)} on .*BACKEND_ID`),
    );
    await service.untilStatus(id, 'COMPLETED', 60_000);
    expect((await state()).holder?.holderId).toBe(holder?.holderId);
  }, 120_000);

  test('kill -9 and start: the id is back within seconds, and the generation completes with one rendering', async () => {
    const before = (await state()).holder?.holderId;
    const { id } = await render(30);
    await service.untilStatus(id, 'PROCESSING', 30_000);
    await service.killWorker();
    await service.startWorker(); // ready: it has acquired its id
    expect(service.workerLog()).not.toContain('Another process holds this backend'); // nothing was waited for
    await untilTendedBy((holderId) => holderId !== before);
    await service.untilStatus(id, 'COMPLETED', 60_000);
    expect(simulator.journal().filter(({ event }) => event === 'rendering_started')).toHaveLength(2);
  }, 180_000);
});

describe('operators', () => {
  test('drain and resume over REST; a drained backend stays drained when its worker restarts', async () => {
    const drained = await service.post('/v1/backends/gpu-a/drain');
    expect([drained.status, await drained.json()]).toEqual([202, { backendId: 'gpu-a', requested: 'drain' }]);
    await untilGate('draining');
    await until('it says that it is idle', async () => (await state()).summary?.isIdle === true, 30_000);
    await service.killWorker();
    await service.startWorker();
    await until('the new worker reports it', async () => (await gateShown()) === 'draining', 30_000);
    expect(service.workerLog()).toContain('"gate":"draining"');
    expect((await service.post('/v1/backends/gpu-a/resume')).status).toBe(202);
    await untilGate('open');
  }, 120_000);

  test('drain and resume by the temporal command', async () => {
    await temporalCommand('workflow', 'signal', '--name', 'drain');
    await untilGate('draining');
    await temporalCommand('workflow', 'signal', '--name', 'resume');
    await untilGate('open');
  }, 90_000);

  test('a quarantine shuts the gate until the ComfyUI was restarted', async () => {
    await untilTendedBy(() => true);
    await until('its ComfyUI is known', async () => (await state()).summary?.health === 'healthy', 30_000);
    await temporalCommand('workflow', 'signal', '--name', 'quarantine', '--input', '"cuDNN failed"');
    await untilGate('closed');
    await simulator.kill('SIGKILL');
    simulator = await startSimulator({ secondsPerStep: 0.2, port: simulator.port, dataDir: simulator.dataDir });
    await untilGate('open');
  }, 120_000);

  test('a restart of the ComfyUI while no worker was there ends a quarantine; a restart of the worker alone does not', async () => {
    await untilTendedBy(() => true);
    const { id } = await render(1);
    await service.untilStatus(id, 'COMPLETED', 60_000);
    await service.post('/v1/backends/gpu-a/quarantine', { reason: 'hot' });
    await untilGate('closed');
    await until('why is shown', async () => (await holdsShown()).includes('hot'));
    await until(
      'its Workflow knows a prompt by which to see that',
      async () => (await state()).summary?.canary != null,
    );
    await service.killWorker('SIGTERM');
    await service.startWorker();
    const before = (await state()).holder?.holderId;
    await until('the new worker has told', async () => {
      const { summary } = await state();
      return summary?.holderId === before && summary?.health === 'healthy' && summary.isIdle;
    });
    expect((await state()).gate.quarantine).toBe('hot');
    await service.killWorker('SIGTERM');
    await simulator.kill('SIGKILL');
    simulator = await startSimulator({ secondsPerStep: 0.2, port: simulator.port, dataDir: simulator.dataDir });
    await service.startWorker();
    await untilGate('open');
    expect(await holdsShown()).toBe('[]');
  }, 180_000);

  test.each(['terminate', 'cancel'])(
    '%s of the Workflow of a backend heals, with its gate as it stood, and a generation goes on',
    async (action) => {
      await untilTendedBy(() => true);
      const { id } = await render(20);
      await service.untilStatus(id, 'PROCESSING', 30_000);
      await temporalCommand('workflow', 'signal', '--name', 'drain');
      await untilGate('draining');
      const { runId: before } = await handle().describe();
      await temporalCommand('workflow', action);
      await untilTendedBy((_, runId) => runId !== before);
      expect((await state()).gate.isDrained).toBe(true);
      await temporalCommand('workflow', 'signal', '--name', 'resume');
      await untilGate('open');
      const finished = await service.untilStatus(id, 'COMPLETED', 60_000);
      expect(finished.attempts).toEqual([]);
    },
    150_000,
  );

  test('a reset of the Workflow of a backend heals', async () => {
    await untilTendedBy(() => true);
    const { runId: before } = await handle().describe();
    await temporalCommand('workflow', 'reset', '--type', 'FirstWorkflowTask', '--reason', 'a test');
    await untilTendedBy((_, runId) => runId !== before);
    const { id } = await render(1);
    await service.untilStatus(id, 'COMPLETED', 60_000);
  }, 120_000);
});
