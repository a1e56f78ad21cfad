import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { BackendReport } from '../../workflows/contracts/backend-report.js';
import { backendReportKey } from '../../workflows/contracts/backend-report.js';
import { templateFolder } from '../support/template-folder.js';
import { call, createTestSetting, post } from './support/start-test-api.js';
import type { TestSetting } from './support/start-test-api.js';

const GIB = 1024 ** 3;
const VRAM = [
  { upTo: { width: 512, height: 512 }, gb: 6 },
  { upTo: { width: 1024, height: 1024 }, gb: 10 },
];
const FAL = { model: 'fal-ai/flux/dev', input: { prompt: { value: 'a card' } }, usdPerOutput: 0.01 };

let setting: TestSetting;
const templates = templateFolder({ large: { vram: VRAM }, 'large-on-fal': { vram: VRAM, fal: FAL } });

beforeAll(async () => {
  setting = await createTestSetting();
}, 60_000);
afterAll(async () => {
  templates.remove();
  await setting.release();
});
afterEach(async () => {
  await Promise.all(['small', 'other'].map(async (id) => setting.store.remove(backendReportKey(id))));
});

/** A fresh API, which has read no reports yet, beside these backends. */
async function apiBeside(...reports: readonly Partial<BackendReport>[]): Promise<string> {
  for (const facts of reports) {
    const report = {
      ...{ backendId: 'small', pool: 'default', health: 'healthy', reason: 'answers', gate: 'open', addresses: [] },
      ...{ comfyuiVersion: '0.8.0', device: 'gpu', hardware: 'gpu', deviceName: 'Test GPU', vramTotalBytes: 8 * GIB },
      ...{ queueRemaining: 0, maxGpuJobs: 1, capabilitiesKey: null, reportedAt: new Date().toISOString(), ...facts },
    };
    await setting.store.writeJson(backendReportKey(report.backendId), report, { kind: 'always' });
  }
  return setting.startApi({ TEMPLATES_DIR: templates.path });
}

const LARGE = { template: 'large', parameters: { width: 1024, height: 1024 } };
const ask = async (api: string, changes: object = {}) => post(`${api}/v1/generations`, { ...LARGE, ...changes });

test('R4.7 what no card has enough memory for is refused at once, with the numbers and what would fit', async () => {
  const api = await apiBeside({});
  const { status, json } = await ask(api);
  const sizes = ['width up to 512 with height up to 512 (6 GB)'];
  expect({ status, json }).toMatchObject({
    status: 422,
    json: {
      code: 'will_not_fit',
      detail: 'It needs about 10 GB of VRAM, and small has 8.0 GB.',
      remedy: expect.stringContaining(sizes[0] ?? ''),
      errors: [{ pointer: '/parameters', allowed: sizes }],
    },
  });
  expect((await ask(api, { parameters: { width: 512, height: 512 } })).status).toBe(202);
  expect((await ask(api, { parameters: { width: 2048, height: 64 } })).status).toBe(202); // the table does not say
  const { json: backends } = await call(`${api}/v1/backends`);
  expect(backends['backends']).toMatchObject([{ backendId: 'small', hardware: 'gpu', vramTotalBytes: 8 * GIB }]);
});

test.each<[string, Partial<BackendReport>]>([
  ['there is a larger one', { vramTotalBytes: 24 * GIB }],
  ['there is a larger one that does not report now', { vramTotalBytes: 24 * GIB, reportedAt: '2026-01-01T00:00:00Z' }],
  ['there is one that takes turns with the memory of its machine', { hardware: 'low-vram' }],
  ['there is one that renders on its CPU', { device: 'cpu', hardware: 'cpu' }],
  ['the size of one is not known', { vramTotalBytes: null }],
  ['one does not say how it was started', { hardware: null }],
])('it is accepted when %s', async (_why, facts) => {
  expect((await ask(await apiBeside({}, { backendId: 'other', ...facts }))).status).toBe(202);
});

test('a larger one of another pool does not count, and nothing known is no reason', async () => {
  expect((await ask(await apiBeside())).status).toBe(202);
  const api = await apiBeside({}, { backendId: 'other', pool: 'apart', vramTotalBytes: 24 * GIB });
  expect((await ask(api)).status).toBe(422);
});

test('it is accepted where fal.ai may stand in, and only there', async () => {
  const api = await apiBeside({});
  const onFal = { template: 'large-on-fal' };
  expect((await ask(api, onFal)).status).toBe(202);
  expect((await ask(api, { ...onFal, provider: 'fal' })).status).toBe(202);
  expect((await ask(api, { ...onFal, provider: 'comfyui-only' })).status).toBe(422);
  expect((await ask(api, { ...onFal, recovery: { enabled: false } })).status).toBe(422);
});

test('templates say what they need, and it goes with the generation', async () => {
  const api = await apiBeside();
  const { json } = await call(`${api}/v1/templates/large`);
  expect(json['vram']).toEqual(VRAM);
  expect((await call(`${api}/v1/templates/test-card`)).json['vram']).toEqual([]);
  const { json: accepted } = await ask(api);
  const { workflow_input: input } = await setting.database
    .selectFrom('generations')
    .select('workflow_input')
    .where('id', '=', String(accepted['id']))
    .executeTakeFirstOrThrow();
  expect(input.vramGb).toBe(10);
});
