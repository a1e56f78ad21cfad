import { beforeEach, expect, test } from '@jest/globals';
import { createFindOtherBackend } from '../../activities/find-other-backend.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { storeGraph } from '../../activities/storage/graph-documents.js';
import { backendReportKey } from '../../workflows/contracts/backend-report.js';
import type { BackendReport } from '../../workflows/contracts/backend-report.js';
import type { FindOtherBackendInput } from '../../workflows/contracts/activities.js';
import { createTestBucket } from '../support/stack.js';
import { environment } from './support/activity-world.js';
import { buildGraph } from './support/prompts.js';

let store: ObjectStore;
beforeEach(async () => {
  store = createObjectStore(await createTestBucket());
});

async function reported(backendId: string, facts: Partial<BackendReport> = {}): Promise<void> {
  const report: BackendReport = {
    ...{ backendId, pool: 'default', health: 'healthy', reason: 'answers', gate: 'open', addresses: [] },
    ...{ comfyuiVersion: '0.8.0', device: 'gpu', deviceName: 'Test GPU', vramTotalBytes: 8, queueRemaining: 0 },
    ...{ maxGpuJobs: 1, capabilitiesKey: null, reportedAt: new Date().toISOString() },
    ...facts,
  };
  await store.writeJson(backendReportKey(backendId), report, { kind: 'always' });
}

async function having(backendId: string, modelFiles: readonly string[]): Promise<void> {
  const capabilitiesKey = `capabilities/${backendId}.json`;
  await store.writeJson(capabilitiesKey, { nodeClasses: [], modelFiles }, { kind: 'always' });
  await reported(backendId, { capabilitiesKey });
}

async function find(facts: Partial<FindOtherBackendInput> = {}) {
  const graph = await storeGraph(store, buildGraph({ promptText: 'hands, embedding:bad-hands-5.pt' }));
  const input = { pool: 'default', avoid: ['a'], failedOn: 'a', wanted: 'any', missing: [], graph, ...facts } as const;
  return environment().run(createFindOtherBackend({ store }), input);
}

test.each([
  [{}, true],
  [{ health: 'starting' }, true],
  [{ health: 'down' }, false],
  [{ gate: 'draining' }, false],
  [{ gate: 'closed' }, false],
  [{ pool: 'video' }, false],
  [{ reportedAt: '2026-01-01T00:00:00.000Z' }, false],
] as const)('another backend with %j is there: %s', async (facts, isThere) => {
  await reported('a');
  await reported('b', facts);
  await expect(find()).resolves.toEqual({ isThere, unsuitable: [] });
});

test('R5.2 more memory is wanted after out of memory; where nobody says how much, another may have it', async () => {
  await reported('a');
  await reported('b');
  await reported('c', { vramTotalBytes: 7 });
  await expect(find({ wanted: 'more_vram' })).resolves.toEqual({ isThere: false, unsuitable: ['b', 'c'] });
  await reported('d', { vramTotalBytes: 9 });
  await expect(find({ wanted: 'more_vram' })).resolves.toEqual({ isThere: true, unsuitable: ['b', 'c'] });
  await reported('d', { vramTotalBytes: null });
  await expect(find({ wanted: 'more_vram' })).resolves.toMatchObject({ isThere: true });
});

test('R5.4 a missing model is wanted; a text that looks like a file is none', async () => {
  const checkpoint = 'v1-5-pruned-emaonly.safetensors';
  const wanted = { wanted: 'models', missing: [checkpoint] } as const;
  await having('a', []);
  await having('b', ['other.safetensors']);
  await expect(find(wanted)).resolves.toEqual({ isThere: false, unsuitable: ['b'] });
  await having('c', [checkpoint]);
  await expect(find(wanted)).resolves.toEqual({ isThere: true, unsuitable: ['b'] });
  await reported('b'); // its files are not known: it may have it
  await expect(find({ ...wanted, avoid: ['a', 'c'] })).resolves.toEqual({ isThere: true, unsuitable: [] });
});
