import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { backendReportKey } from '../../workflows/contracts/backend-report.js';
import type { BackendReport } from '../../workflows/contracts/backend-report.js';
import { backendWorkflowId } from '../../workflows/contracts/backend.js';
import { Client, Connection } from '@temporalio/client';
import { createTestNamespace, testServers } from '../support/stack.js';
import { until } from '../support/until.js';
import { NOWHERE, call, createTestSetting } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
let connection: Connection;
let temporal: Client;
let api: string;

beforeAll(async () => {
  setting = await createTestSetting();
  const namespace = await createTestNamespace();
  connection = await Connection.connect({ address: testServers().temporalAddress });
  temporal = new Client({ connection, namespace });
  await setting.store.writeJson(backendReportKey('gpu-1'), report('gpu-1'), { kind: 'always' });
  api = await setting.startApi({ TEMPORAL_NAMESPACE: namespace });
}, 60_000);

afterAll(async () => {
  await connection.close();
  await setting.release();
});

function report(backendId: string, facts: Partial<BackendReport> = {}): BackendReport {
  return {
    ...{ backendId, pool: 'default', health: 'healthy', reason: 'answers', gate: 'draining', addresses: [] },
    ...{ comfyuiVersion: '0.8.0', device: 'gpu', deviceName: 'Test GPU', vramTotalBytes: 8e9, queueRemaining: 0 },
    ...{ maxGpuJobs: 1, capabilitiesKey: null, reportedAt: new Date().toISOString() },
    ...facts,
  } as const;
}

const command = async (path: string, base = api) => call(`${base}/v1/backends/${path}`, { method: 'POST' });

test('the gate of each backend is shown', async () => {
  const { json } = await call(`${api}/v1/backends`);
  expect(json['backends']).toMatchObject([{ backendId: 'gpu-1', gate: 'draining' }]);
});

test('why a gate is not open is shown, with the reasons that were given and what ends it, a moment after it was reported', async () => {
  const gateHolds = [
    { cause: 'emergency_stop', reason: 'smoke' },
    { cause: 'quarantine', reason: 'hot' },
  ] as const;
  const shown = async () => (await call(`${api}/v1/backends`)).json['backends'];
  expect(await shown()).toMatchObject([{ gateHolds: [] }]); // what is remembered is not older than a second
  const shut = report('gpu-1', { gate: 'closed', gateHolds });
  await setting.store.writeJson(backendReportKey('gpu-1'), shut, { kind: 'always' });
  await until('the report is shown', async () => JSON.stringify(await shown()).includes('closed'), 2_000);
  expect(await shown()).toMatchObject([
    {
      gate: 'closed',
      gateHolds: [
        { cause: 'emergency_stop', reason: 'smoke', endedBy: 'POST /v1/resume' },
        { cause: 'quarantine', reason: 'hot', endedBy: 'POST /v1/backends/gpu-1/resume' },
      ],
    },
  ]);
});

test('a backend that reports is told even when its Workflow has just been ended', async () => {
  const { status, json } = await command('gpu-1/drain');
  expect([status, json]).toEqual([202, { backendId: 'gpu-1', requested: 'drain' }]);
  const { events } = await temporal.workflow.getHandle(backendWorkflowId('gpu-1')).fetchHistory();
  const signals = events?.map((event) => event.workflowExecutionSignaledEventAttributes?.signalName);
  expect(signals).toContain('drain');
  expect((await command('gpu-1/resume')).status).toBe(202);
});

test.each(['gpu-2', 'gpu%2F1', 'a'.repeat(100)])(
  'an unknown id is answered with those that exist: %s',
  async (backendId) => {
    const { status, json } = await command(`${backendId}/drain`);
    expect([status, json['code'], json['detail']]).toEqual([
      404,
      'backend_not_found',
      'No backend has this id. Known: gpu-1.',
    ]);
    expect(await call(`${api}/v1/backends/${backendId}/drain`)).toMatchObject({ status: 405 });
  },
);

test('without Temporal a command is refused and may be repeated', async () => {
  const apart = await setting.startApi({ TEMPORAL_ADDRESS: NOWHERE });
  const { status, json, headers } = await command('gpu-1/drain', apart);
  expect([status, json['code'], json['retryable']]).toEqual([503, 'temporal_unavailable', true]);
  expect(headers['retry-after']).toBe('5');
});
