import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createTestNamespace } from '../support/stack.js';
import { NOWHERE, call, createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

let setting: TestSetting;
beforeAll(async () => {
  setting = await createTestSetting();
}, 60_000);
afterAll(async () => setting.release());

test('a second stop with another reason says that the first one goes on, with its own', async () => {
  const other = await createTestSetting();
  try {
    const api = await other.startApi({ TEMPORAL_NAMESPACE: await createTestNamespace() });
    const report = JSON.stringify({ backends: [], generations: { cancelled: 0, stillOpen: [] } });
    const values = { reason: 'smoke', completed_at: new Date(), report };
    await other.database.insertInto('emergency_stops').values(values).execute();
    const again = await post(`${api}/v1/emergency-stop`, { reason: 'fire' });
    expect(again).toMatchObject({ status: 200, json: { reason: 'smoke', note: expect.stringContaining('in force') } });
    expect((await post(`${api}/v1/emergency-stop`, { reason: 'smoke' })).json).not.toHaveProperty('note');
  } finally {
    await other.release();
  }
}, 60_000);

test('while Temporal is away the intake is closed all the same, says why, and cannot be resumed yet', async () => {
  const api = await setting.startApi({ TEMPORAL_ADDRESS: NOWHERE });
  const stopped = await post(`${api}/v1/emergency-stop`, { reason: 'smoke' });
  expect(stopped).toMatchObject({ status: 503, json: { code: 'temporal_unavailable' } });
  expect(String(stopped.json['detail'])).toContain('Nothing is accepted any more');
  expect((await call(`${api}/v1/emergency-stop`)).json).toMatchObject({
    isStopped: true,
    reason: 'smoke',
    report: null,
  });
  // A load balancer must let reading and resuming through; who asks whether anything is accepted reads the status.
  expect(await call(`${api}/readyz`)).toMatchObject({ status: 200, json: { status: 'stopped' } });
  expect(await call(`${api}/api/error-recovery/health`)).toMatchObject({
    status: 200,
    json: { success: true, status: 'stopped' },
  });
  const refused = await post(`${api}/v1/generations`, { template: 'test-card', parameters: {} });
  expect(refused).toMatchObject({ status: 503, json: { code: 'service_stopped' } });
  expect(await post(`${api}/v1/resume`, {})).toMatchObject({ status: 503, json: { code: 'temporal_unavailable' } });
  expect((await call(`${api}/v1/emergency-stop`)).json).toMatchObject({ isStopped: true });
}, 60_000);

test.each([{ reason: '' }, { reason: 'x'.repeat(501) }, { because: 'x' }])(
  '%j is refused, and nothing is stopped',
  async (body) => {
    const other = await createTestSetting();
    try {
      const api = await other.startApi({ TEMPORAL_ADDRESS: NOWHERE });
      expect(await post(`${api}/v1/emergency-stop`, body)).toMatchObject({ status: 422 });
      expect((await call(`${api}/v1/emergency-stop`)).json).toMatchObject({ isStopped: false });
    } finally {
      await other.release();
    }
  },
  60_000,
);
