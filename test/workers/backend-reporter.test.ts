import { afterEach, expect, test } from '@jest/globals';
import { createComfyUIBackend } from '../../activities/comfyui/comfyui-backend.js';
import { GateSwitch } from '../../activities/comfyui/gate-switch.js';
import { readBackendReports } from '../../activities/storage/backend-reports.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { createLogger } from '../../infra/runtime/logger.js';
import { BackendReporter } from '../../workers/backend-reporter.js';
import { PollingState } from '../../workers/polling-state.js';
import { startSimulator } from '../support/simulator-process.js';
import { createTestBucket } from '../support/stack.js';
import { until } from '../support/until.js';

const logger = createLogger({ name: 'test', level: 'silent' });
let closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.reverse()) await close();
  closing = [];
});

async function reporting(
  url: string,
): Promise<{ store: ObjectStore; writes: () => number; reporter: BackendReporter; gate: GateSwitch }> {
  const real = createObjectStore(await createTestBucket());
  let writes = 0;
  const store: ObjectStore = {
    ...real,
    async writeJson(...args) {
      writes += 1;
      return real.writeJson(...args);
    },
  };
  const backend = createComfyUIBackend({ backendId: 'gpu-1', target: { kind: 'fixed', url }, logger });
  const gate = new GateSwitch();
  const polling = new PollingState('gpu');
  const usage = () => ({ busySeconds: 3, idleWhileWaitingSeconds: 1 });
  const disk = async () => ({ freeBytes: 5_000, spoolBytes: 0 });
  const reporter = new BackendReporter({
    ...{ backend, gate, store, pool: 'default', maxGpuJobs: 1, usage, disk, logger, polling },
  });
  closing.push(async () => backend.close());
  reporter.start();
  return { store, writes: () => writes, reporter, gate };
}

test('a backend that is down is reported with what its address said, and not over and over', async () => {
  const { store, writes, reporter } = await reporting('http://127.0.0.1:9');
  const [report] = await until('the report', async () => {
    const reports = await readBackendReports(store);
    return reports[0]?.addresses.length === 1 ? reports : null;
  });
  expect(report).toMatchObject({
    health: 'starting',
    addresses: [{ address: '127.0.0.1:9', said: 'connection refused' }],
  });
  await until('a dozen other requests have gone by', async () => {
    for (let request = 0; request < 12; request += 1) await store.keysUnder('backends/');
    return true;
  });
  expect(writes()).toBeLessThanOrEqual(2); // the first, and the one that the discovery made news
  await reporter.stop();
});

test('a healthy backend is reported with its node classes; a worker that is stopped takes its report back', async () => {
  const simulator = await startSimulator();
  closing.push(async () => simulator.stop());
  const { store, reporter } = await reporting(simulator.url);
  const [report] = await until('the report', async () => {
    const reports = await readBackendReports(store);
    return reports[0]?.capabilitiesKey == null ? null : reports;
  });
  expect(report).toMatchObject({ health: 'healthy', comfyuiVersion: '0.8.0', isFresh: true });
  const capabilities = await store.readJson(report?.capabilitiesKey ?? '');
  expect(capabilities?.value).toMatchObject({ nodeClasses: expect.arrayContaining(['KSampler', 'SaveImage']) });
  await reporter.stop();
  expect(await readBackendReports(store)).toEqual([]);
});

test('a gate that an operator sets is reported at once', async () => {
  const { store, reporter, gate } = await reporting('http://127.0.0.1:9');
  await until('the first report', async () => (await readBackendReports(store))[0]?.gate === 'open');
  gate.set('draining', [{ cause: 'drain', reason: null }]);
  await until('the next one', async () => (await readBackendReports(store))[0]?.gate === 'draining', 5_000);
  gate.set('closed', [{ cause: 'quarantine', reason: 'cold' }]);
  gate.set('closed', [{ cause: 'quarantine', reason: 'hot' }]);
  await until('why', async () => (await readBackendReports(store))[0]?.gateHolds?.[0]?.reason === 'hot', 5_000);
  await reporter.stop();
});
