import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { generationWorkflowId } from '../../workflows/contracts/generation.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { testServers } from '../support/stack.js';
import { startStoreProxy } from '../support/store-proxy.js';
import type { PlannedFault, StoreProxy, UploadFault } from '../support/store-proxy.js';
import { until } from '../support/until.js';

const xml = (code: string, message: string) =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
const answer = (status: number, body: string): UploadFault => ({ kind: 'answer', status, body });
/** Smaller than every picture of the simulator. */
const IN_THE_MIDDLE_BYTES = 200;
const ALWAYS = 1_000;

const ENDS: readonly (readonly [name: string, kind: string, words: RegExp, fault: UploadFault])[] = [
  ['MinIO is full', 'DISK_FULL', /minimum free drive/, answer(507, xml('XMinioStorageFull', 'minimum free drive'))],
  ['versitygw is full', 'DISK_FULL', /No space left/, answer(507, xml('InsufficientStorage', 'No space left'))],
  ['a quota is used up', 'DISK_FULL', /exceeded/, answer(403, xml('QuotaExceeded', 'quota exceeded'))],
  [
    'too large',
    'OUTPUT_TOO_LARGE',
    /EntityTooLarge|maximum/,
    answer(400, xml('EntityTooLarge', 'exceeds the maximum')),
  ],
  ['too large for a proxy', 'OUTPUT_TOO_LARGE', /413/, answer(413, '<html>413 Request Entity Too Large</html>')],
];
/** What passes: the generation waits, and nothing is rendered again. */
const PASSES: readonly (readonly [name: string, fault: UploadFault, times: number])[] = [
  ['refused', answer(403, xml('AccessDenied', 'Access Denied.')), 2],
  ['overloaded', answer(503, xml('SlowDown', 'Please reduce your request rate')), 1],
  ['broken off', { kind: 'cut', afterBytes: IN_THE_MIDDLE_BYTES }, 2],
  ['one byte changed on the way', { kind: 'flip' }, 1],
  ['confirmed but not stored', { kind: 'lose' }, 1],
  ['replaced by as many other bytes', { kind: 'then', act: async (key) => replace(key) }, 1],
  ['slow', { kind: 'slow', pauseMs: 2_000 }, 1],
];
const REFUSED_FOR_GOOD = 'refused until it is cancelled';

let simulator: SimulatorProcess;
let proxy: StoreProxy;
let service: Service;
let store: ObjectStore;

beforeAll(async () => {
  const planned: readonly PlannedFault[] = [
    ...ENDS.map(([name, , , fault]) => ({ name, fault, times: ALWAYS })),
    ...PASSES.map(([name, fault, times]) => ({ name, fault, times })),
    { name: REFUSED_FOR_GOOD, fault: answer(403, xml('AccessDenied', 'Access Denied.')), times: ALWAYS },
  ];
  simulator = await startSimulator({ secondsPerStep: 0.01 });
  proxy = await startStoreProxy(new URL(testServers().s3.endpoint), planned);
  service = await startService({ comfyUrls: [simulator.url], env: { S3_ENDPOINT: proxy.url } });
  store = createObjectStore(service.bucket);
  for (const [seed] of planned.entries()) {
    const parameters = { prompt: 'a harbour', width: 64, height: 64, steps: 2, seed };
    await service.submit({ template: 'sd15-text-to-image', parameters });
  }
}, 90_000);

afterAll(async () => {
  await service.stop(); // runs the checker: no object without a row, no row without an object
  await proxy.close();
  await simulator.stop();
}, 60_000);

/** The generation that met this fault. */
const idOf = async (name: string) => until(`something meets "${name}"`, async () => proxy.met.get(name), 60_000);

async function replace(key: string): Promise<void> {
  const there = await store.facts(key);
  const bytes = Buffer.alloc(there?.bytes ?? 0, 'x');
  const path = join(service.dataDir, 'replacement');
  writeFileSync(path, bytes);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const upload = { path, bytes: bytes.length, sha256, mediaType: 'image/png', metadata: {} };
  await store.putFile(key, { ...upload, condition: { kind: 'always' } });
}

async function expectDelivered({ outputs: [output] }: SeenGeneration): Promise<void> {
  const response = await fetch(`${service.apiUrl}${output?.url ?? ''}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(output?.sha256);
  expect(bytes.length).toBe(output?.bytes);
}

test.each(ENDS)('a store that says "%s" ends the generation as %s, with its words', async (...[name, kind, words]) => {
  const id = await idOf(name);
  const seen = await service.untilStatus(id, 'FAILED', 60_000);
  expect(seen).toMatchObject({ outputs: [], attempts: [], error: { kind } });
  expect(seen.error?.detail).toMatch(words);
  expect(await store.keysUnder(`jobs/${id}/`)).toEqual([]);
  expect(proxy.uploads.get(id)).toBe(1);
});

test.each(PASSES)(
  'R3.2 an upload that is %s is repeated until the object is what was rendered',
  async (name, fault, times) => {
    const id = await idOf(name);
    const seen = await service.untilStatus(id, 'COMPLETED', 60_000);
    expect(seen).toMatchObject({ attempts: [], outputs: [{ width: 64, height: 64 }] });
    await expectDelivered(seen);
    expect(proxy.uploads.get(id)).toBe(fault.kind === 'slow' ? times : times + 1);
  },
);

test('a store that refuses for good is waited for: the cause is told, nothing is visible, and a cancel ends it', async () => {
  const id = await idOf(REFUSED_FOR_GOOD);
  const workflow = service.temporal.workflow.getHandle(generationWorkflowId(id));
  await until('Temporal tells why', async () => {
    const { raw } = await workflow.describe();
    const causes = (raw.pendingActivities ?? []).map(({ lastFailure }) => lastFailure?.message);
    return causes.some((cause) => cause?.includes('could not serve') && cause.includes('Access Denied'));
  });
  expect(await service.get(id)).toMatchObject({ status: 'PROCESSING', outputs: [], error: null });
  expect(await store.keysUnder(`jobs/${id}/`)).toEqual([]);
  await service.post(`/v1/generations/${id}/cancel`);
  await service.untilStatus(id, 'CANCELLED');
  expect(await store.keysUnder(`jobs/${id}/`)).toEqual([]);
});

test('whatever the store did, every picture was rendered once', async () => {
  const finished = simulator.journal().filter(({ event }) => event === 'rendering_finished');
  expect(finished).toHaveLength(ENDS.length + PASSES.length + 1);
});
