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

test('a port that is taken is moved to the next free one, in one line', async () => {
  const taken = await occupy();
  const { minio } = await choosePorts(['minio'], choice({ minio: taken }));
  expect(minio).toBeGreaterThan(taken);
  expect(said).toEqual([`Port ${taken} is taken: minio moves to ${minio}`]);
});

test('a chosen port is remembered for the next start', async () => {
  const { minio } = await choosePorts(['minio'], choice({}, true));
  expect(await choosePorts(['minio'], choice({}))).toEqual({ minio });
  expect(said).toEqual([]);
});

test('a remembered port that is taken meanwhile is moved, and the new one is remembered', async () => {
  const taken = await occupy();
  await choosePorts(['api'], choice({ api: taken }));
  const { api } = await choosePorts(['api'], choice({}));
  expect(api).not.toBe(taken);
  expect(said).toHaveLength(1);
});

test('two parts never get the same port', async () => {
  const taken = await occupy();
  const { temporal, temporalUi } = await choosePorts(
    ['temporal', 'temporalUi'],
    choice({ temporal: taken, temporalUi: taken }),
  );
  expect(temporal).not.toBe(temporalUi);
});

function choice(wanted: PortChoice['wanted'], anyFree = false): PortChoice {
  return { folder: dataFolderAt(dataDir), wanted, anyFree, say: (line) => void said.push(line) };
}

async function occupy(): Promise<number> {
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('not listening');
  return address.port;
}
