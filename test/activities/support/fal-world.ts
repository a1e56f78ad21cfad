import { createFalClient } from '../../../activities/fal/fal-client.js';
import type { FalClient } from '../../../activities/fal/fal-client.js';
import type { ObjectStore } from '../../../activities/storage/object-store.js';
import type { FalRecordStore } from '../../../activities/storage/fal-record.js';
import { SIMULATOR_KEY } from '../../../infra/simulators/fal/options.js';
import { afterAll } from '@jest/globals';
import { callFal, falEvents, startFal } from '../../support/fal-process.js';
import type { FalProcess, FalProcessOptions } from '../../support/fal-process.js';
import { until } from '../../support/until.js';

export const MODEL = 'fal-ai/flux/dev';
export const PROMPT = { prompt: 'a lighthouse', image_size: { width: 64, height: 48 }, seed: 7 };

const running: FalProcess[] = [];
const opened: FalClient[] = [];

let common: Promise<FalProcess> | null = null;
afterAll(async () => {
  await (await common)?.stop();
});

/** A simulator that ends with the test; without options one for the whole file, given without faults and requests. */
export async function falSimulator(options?: FalProcessOptions): Promise<FalProcess> {
  if (options === undefined) return emptied(await (common ??= startFal()));
  const started = await startFal(options);
  running.push(started);
  return started;
}

/** With a journal that begins now. */
async function emptied(one: FalProcess): Promise<FalProcess> {
  await callFal(`${one.url}/simulator/faults`, { method: 'DELETE' });
  await until('nothing is left to run', async () => {
    return falEvents(one, 'submitted').length === falEvents(one, 'finished').length;
  });
  const before = one.journal().length;
  return { ...one, journal: () => one.journal().slice(before) };
}

export function falClientAt(queueUrl: string, key = SIMULATOR_KEY): FalClient {
  const client = createFalClient({ key, queueUrl });
  if (client === null) throw new Error('A key was given');
  opened.push(client);
  return client;
}

/** For `afterEach`. */
export async function closeFal(): Promise<void> {
  await Promise.all(opened.splice(0).map(async (client) => client.close()));
  await Promise.all(running.splice(0).map(async (one) => one.stop()));
}

/** The conditional writes of an object store, in memory. */
export function memoryStore(
  documents: Readonly<Record<string, unknown>>,
): FalRecordStore & Pick<ObjectStore, 'open'> & { keys(): string[] } {
  const objects = new Map<string, string>(
    Object.entries(documents).map(([key, value]) => [key, JSON.stringify(value)]),
  );
  return {
    open: async (key) => Promise.reject(new Error(`There are no files here, such as ${key}`)),
    async readJson(key) {
      const text = objects.get(key);
      return text === undefined ? null : { value: JSON.parse(text) as unknown, etag: text };
    },
    async writeJson(key, value, condition) {
      const current = objects.get(key);
      if (condition.kind === 'absent' && current !== undefined) return { ok: false };
      if (condition.kind === 'matches' && current !== condition.etag) return { ok: false };
      objects.set(key, JSON.stringify(value));
      return { ok: true, etag: JSON.stringify(value) };
    },
    async remove(key) {
      objects.delete(key);
    },
    keys: () => [...objects.keys()],
  };
}
