import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Surroundings } from '../../workers/surroundings.js';
import { silentLogger } from '../activities/support/activity-world.js';
import { until } from '../support/until.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'surroundings-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const healthyStore = { check: async () => undefined };

test('a spool that takes files and a store that answers are no fault, and no probe is left behind', async () => {
  const spoolFolder = join(folder, 'spool', 'gpu-1');
  const surroundings = new Surroundings({ spoolFolder, store: healthyStore, logger: silentLogger });
  await expect(surroundings.fault()).resolves.toBeNull();
  await expect(readdir(spoolFolder)).resolves.toEqual([]);
});

test('a spool that cannot be written is a fault until it can', async () => {
  const blocked = join(folder, 'blocked');
  writeFileSync(blocked, 'a file where a folder is to be');
  const spoolFolder = join(blocked, 'gpu-1');
  const surroundings = new Surroundings({ spoolFolder, store: healthyStore, logger: silentLogger });
  await expect(surroundings.fault()).resolves.toContain('cannot be written');
  rmSync(blocked);
  await until('it works again', async () => (await surroundings.fault()) === null);
});

test('a disk that is nearly full is a fault', async () => {
  const surroundings = new Surroundings({
    ...{ spoolFolder: folder, store: healthyStore, logger: silentLogger },
    minFreeBytes: Number.MAX_SAFE_INTEGER,
  });
  await expect(surroundings.fault()).resolves.toMatch(/has \d+ bytes left/);
});

test('a store that does not answer is a fault within seconds, and looks in between cost it nothing', async () => {
  let asked = 0;
  const store = {
    check: async () => {
      asked += 1;
      return new Promise<never>(() => undefined);
    },
  };
  const surroundings = new Surroundings({ spoolFolder: folder, store, logger: silentLogger });
  const [first, second] = await Promise.all([surroundings.fault(), surroundings.fault()]);
  expect(first).toContain('the object store does not answer');
  expect(second).toBe(first);
  await surroundings.fault();
  expect(asked).toBe(1);
});
