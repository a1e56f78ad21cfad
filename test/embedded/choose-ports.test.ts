import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { choosePorts } from '../../infra/embedded/choose-ports.js';
import type { PortChoice } from '../../infra/embedded/choose-ports.js';
import { dataFolderAt } from '../../infra/embedded/data-folder.js';

let dataDir = '';
let said: string[] = [];
const servers: Server[] = [];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'durable-comfy-ports-'));
  said = [];
});

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(dataDir, { recursive: true, force: true });
});

test('a usual port that is taken is moved to the next free one, in one line', async () => {
  const taken = await occupy();
  const { minio } = await choosePorts(['minio'], choice({ usual: { minio: taken } }));
  expect(minio).toBeGreaterThan(taken);
  expect(said).toEqual([`Port ${taken} is taken: MinIO listens on ${minio}`]);
});

test('a port that was moved is taken again while the usual one is taken, and every start says so', async () => {
  const usual = { api: await occupy() };
  const { api } = await choosePorts(['api'], choice({ usual }));
  expect(await choosePorts(['api'], choice({ usual }))).toEqual({ api });
  expect(said).toHaveLength(2);
});

test('a port that was moved comes back once the usual one is free', async () => {
  const taken = await occupy();
  await choosePorts(['api'], choice({ usual: { api: taken } }));
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  expect(await choosePorts(['api'], choice({ usual: { api: taken } }))).toEqual({ api: taken });
});

test('a port that is asked for and taken is an error, not another port', async () => {
  const taken = await occupy();
  await expect(choosePorts(['api'], choice({ wanted: { api: taken } }))).rejects.toThrow(
    `Port ${taken} was asked for as the port of the API, but something listens there already`,
  );
});

test('any free port is remembered, so that tests that restart find their servers', async () => {
  const { minio } = await choosePorts(['minio'], choice({ anyFree: true }));
  expect(await choosePorts(['minio'], choice({ anyFree: true }))).toEqual({ minio });
  expect(said).toEqual([]);
});

test('two parts never get the same port', async () => {
  const taken = await occupy();
  const usual = { temporal: taken, temporalUi: taken };
  const { temporal, temporalUi } = await choosePorts(['temporal', 'temporalUi'], choice({ usual }));
  expect(temporal).not.toBe(temporalUi);
});

function choice(settings: Partial<PortChoice>): PortChoice {
  return {
    folder: dataFolderAt(dataDir),
    wanted: {},
    anyFree: false,
    say: (line) => void said.push(line),
    ...settings,
  };
}

async function occupy(): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('not listening');
  return address.port;
}
