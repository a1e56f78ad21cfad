import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { writeFleetDemand } from '../../activities/storage/fleet-demand.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import type { StorageConfig } from '../../infra/runtime/storage-config.js';
import { DemandWatch } from '../../workers/demand-watch.js';
import { FLEET_DEMAND_RENEW_MS, fleetDemandKey } from '../../workflows/contracts/fleet-demand.js';
import type { QueueDemand } from '../../workflows/contracts/fleet-demand.js';
import { silentLogger } from '../activities/support/activity-world.js';
import { closeStubs, startStub } from '../activities/support/stub-server.js';
import type { StubServer } from '../activities/support/stub-server.js';
import { createTestBucket, uniqueName } from '../support/stack.js';

let storage: StorageConfig;
let store: ObjectStore;
/** Takes every request, and never answers. */
let silence: StubServer;

beforeAll(async () => {
  storage = await createTestBucket();
  store = createObjectStore(storage);
  silence = await startStub(() => undefined);
});

afterAll(closeStubs);

const silentStore = () => storeAt(silence.port);

/** Nobody listens on port 9, discard. */
const goneStore = () => storeAt(9);

function storeAt(port: number): ObjectStore {
  return createObjectStore({ ...storage, endpoint: new URL(`http://127.0.0.1:${port}`) });
}

const WORK: QueueDemand = {
  ...{ taskQueue: 'gpu.default.a.safetensors', models: ['checkpoints/a.safetensors'], waiting: 3, topPriority: 3 },
  ...{ oldestAcceptedAtMs: 1_790_000_000_000, leastServed: 0, isOffered: true, polledBy: [] },
};

/** A watch whose store can be exchanged while it watches. */
async function watch() {
  const pool = uniqueName('pool');
  const behind = { store: store as Pick<ObjectStore, 'readJson'> };
  const readJson: ObjectStore['readJson'] = async (key) => behind.store.readJson(key);
  let computedAtMs = Date.now();
  const publish = async (queues: readonly QueueDemand[]) =>
    writeFleetDemand(store, pool, { computedAtMs: (computedAtMs += 1), queues });
  await publish([WORK]);
  return { pool, behind, publish, demand: new DemandWatch({ store: { readJson }, pool, logger: silentLogger }) };
}

test('R4.3 what is published is read, not more often than asked for, and a new look replaces it', async () => {
  const { publish, demand } = await watch();
  expect(await demand.queues(0)).toEqual([WORK]);
  await publish([]);
  expect(await demand.queues(60_000)).toEqual([WORK]);
  expect(await demand.queues(0)).toEqual([]);
});

/** It waits for half a second; the store client by itself would wait for its own limits. */
const SOON_MS = 5_000;

test.each([
  ['never answers', silentStore],
  ['is gone', goneStore],
])('R4.3 a store that %s holds no claim up, and what was known stays known', async (_, broken) => {
  const { publish, behind, demand } = await watch();
  expect(await demand.queues(0)).toEqual([WORK]);
  behind.store = broken();
  const beganAtMs = performance.now();
  expect(await demand.queues(0)).toEqual([WORK]);
  expect(performance.now() - beganAtMs).toBeLessThan(SOON_MS);
  behind.store = store;
  await publish([]);
  expect(await demand.queues(0)).toEqual([]);
});

test('R4.3 what nobody renews is believed no longer, and again once somebody does', async () => {
  const { publish, demand } = await watch();
  expect(await demand.queues(0)).toEqual([WORK]);
  await sleep(3 * FLEET_DEMAND_RENEW_MS + 100);
  expect(await demand.queues(0)).toEqual([]);
  await publish([WORK]);
  expect(await demand.queues(0)).toEqual([WORK]);
}, 30_000);

test('R4.3 a document of another version changes nothing', async () => {
  const { pool, demand } = await watch();
  expect(await demand.queues(0)).toEqual([WORK]);
  await store.writeJson(fleetDemandKey(pool), { version: 2, waiting: 'much' }, { kind: 'always' });
  expect(await demand.queues(0)).toEqual([WORK]);
});
