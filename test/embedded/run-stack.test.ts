import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { Client as MinioClient } from 'minio';
import pg from 'pg';
import { processIdentityOf } from '../../infra/runtime/process-identity.js';
import { pidsIn, startStack, until } from './stack-process.js';
import type { StackProcess } from './stack-process.js';

type Settings = Record<string, string>;

const dataDir = mkdtempSync(join(tmpdir(), 'durable-comfy-stack-'));
const started: StackProcess[] = [];

afterEach(async () => {
  for (const { child, exitCode } of started.splice(0)) {
    child.kill('SIGTERM');
    await exitCode;
  }
  expect(Object.values(pidsIn(dataDir)).filter(isAlive)).toEqual([]);
}, 30_000);

afterAll(() => {
  rmSync(dataDir, { recursive: true, force: true });
});

test('starts on loopback, and a clean stop leaves no process, no open port and exit code 0', async () => {
  const stack = start();
  const settings = await stack.ready;
  await writeData(settings);
  const pids = pidsIn(dataDir);
  expect(Object.keys(pids).sort()).toEqual(['child', ...serverNames(settings)].sort());
  stack.child.kill('SIGINT');
  expect(await stack.exitCode).toBe(0);
  expect(Object.values(pids).filter(isAlive)).toEqual([]);
  const ports = portsOf(settings);
  expect(await Promise.all(ports.map(isOpen))).toEqual(ports.map(() => false));
}, 60_000);

test('a start during an emergency stop says so, why, and how to resume, and asks for no picture; and where Temporal is', async () => {
  const stack = start({ CHILD_IS_STOPPED: 'smoke in the rack' });
  const settings = await stack.ready;
  const said = stack.output();
  expect(said).toContain('STOPPED: an emergency stop is in force since 2026-01-01T00:00:00.000Z');
  expect(said).toContain('Its reason: smoke in the rack');
  expect(said).toMatch(/curl -s -X POST http:\/\/127\.0\.0\.1:\d+\/v1\/resume/);
  expect(said).not.toMatch(/ready|Ask for a picture/);
  expect(said).toContain(`export TEMPORAL_ADDRESS=${settings['TEMPORAL_ADDRESS']}`);
}, 60_000);

test('a second start on the same data folder is refused and says which process has it', async () => {
  const first = start();
  await first.ready;
  const second = start();
  expect(await second.exitCode).toBe(1);
  expect(second.output()).toContain(`Process ${first.child.pid} is running on ${dataDir} already`);
  expect(Object.values(pidsIn(dataDir)).every(isAlive)).toBe(true);
}, 60_000);

test('data outlives a stop, and a kill -9 that leaves the servers behind; ports stay the same', async () => {
  const first = start();
  const settings = await first.ready; // its data was written by the first test
  await expectData(settings);
  const orphans = pidsIn(dataDir);
  first.child.kill('SIGKILL');
  await first.exitCode;
  await until(() => !isAlive(orphans['child'] ?? 0)); // its channel closed
  expect(serverNames(settings).map((name) => isAlive(orphans[name] ?? 0))).toEqual([true, true, true]);

  const second = start();
  const again = await second.ready;
  expect(second.output()).toContain(
    `Stopping postgres (pid ${orphans['postgres']}), which an earlier start left running`,
  );
  expect(Object.values(orphans).filter(isAlive)).toEqual([]);
  expect(portsOf(again)).toEqual(portsOf(settings));
  await expectData(again);
}, 60_000);

test('a server that is killed comes back on the same port', async () => {
  const stack = start();
  const settings = await stack.ready;
  const killed = pidsIn(dataDir);
  process.kill(killed['postgres'] ?? 0, 'SIGKILL');
  process.kill(killed['child'] ?? 0, 'SIGKILL');
  await until(() => !isAlive(killed['postgres'] ?? 0));
  await until(() =>
    expectData(settings).then(
      () => true,
      () => false,
    ),
  );
  await until(() => isAlive(pidsIn(dataDir)['child'] ?? 0));
  expect(stack.output()).toContain('postgres ended (signal SIGKILL); starting it again in 1 s');
  expect(stack.output()).toContain('child ended (signal SIGKILL); starting it again in 1 s');
}, 60_000);

test('a second Ctrl-C kills at once what does not stop', async () => {
  const stack = start({ CHILD_IGNORES_SIGTERM: 'true' });
  await stack.ready;
  const pids = pidsIn(dataDir);
  stack.child.kill('SIGINT');
  await until(() => stack.output().includes('Stopping'));
  stack.child.kill('SIGINT'); // the same key press, passed on by npm
  await delay(600);
  expect(isAlive(pids['child'] ?? 0)).toBe(true);
  stack.child.kill('SIGINT');
  await stack.exitCode;
  expect(Object.values(pids).filter(isAlive)).toEqual([]);
}, 60_000);

test('a child that dies five times right at its start ends everything with exit code 1', async () => {
  const stack = start({ CHILD_DIES: 'true' });
  await until(() => Object.keys(pidsIn(dataDir)).includes('postgres'));
  const pids = pidsIn(dataDir);
  expect(await stack.exitCode).toBe(1);
  expect(stack.output()).toContain('child ended 5 times right after its start (exit code 3)');
  expect(Object.values(pids).filter(isAlive)).toEqual([]);
}, 60_000);

function start(env: NodeJS.ProcessEnv = {}): StackProcess {
  const stack = startStack(dataDir, env);
  started.push(stack);
  return stack;
}

/** The object store by the name that the stack reports. */
function serverNames(settings: Settings): readonly string[] {
  return ['postgres', 'temporal', settings['OBJECT_STORE'] ?? ''];
}

async function writeData(settings: Settings): Promise<void> {
  await withDatabase(settings, async (client) => {
    await client.query('CREATE TABLE kept (value text)');
    await client.query("INSERT INTO kept VALUES ('row')");
  });
  await withTemporal(settings, async (client) => {
    await client.workflow.start('neverRun', { taskQueue: 'nobody', workflowId: 'kept' });
  });
  await storeOf(settings).putObject(settings['S3_BUCKET'] ?? '', 'kept.txt', 'object');
}

async function expectData(settings: Settings): Promise<void> {
  await withDatabase(settings, async (client) => {
    expect((await client.query('SELECT value FROM kept')).rows).toEqual([{ value: 'row' }]);
  });
  await withTemporal(settings, async (client) => {
    expect((await client.workflow.getHandle('kept').describe()).status.name).toBe('RUNNING');
  });
  expect((await storeOf(settings).statObject(settings['S3_BUCKET'] ?? '', 'kept.txt')).size).toBe(6);
}

async function withDatabase(settings: Settings, use: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: settings['DATABASE_URL'] });
  client.on('error', () => undefined); // killed on purpose
  await client.connect();
  await use(client).finally(() => client.end());
}

async function withTemporal(settings: Settings, use: (client: Client) => Promise<void>): Promise<void> {
  const connection = await Connection.connect({ address: settings['TEMPORAL_ADDRESS'] ?? '' });
  await use(new Client({ connection })).finally(() => connection.close());
}

function storeOf(settings: Settings): MinioClient {
  const { hostname, port } = new URL(settings['S3_ENDPOINT'] ?? '');
  return new MinioClient({
    endPoint: hostname,
    port: Number(port),
    useSSL: false,
    accessKey: settings['S3_ACCESS_KEY_ID'] ?? '',
    secretKey: settings['S3_SECRET_ACCESS_KEY'] ?? '',
    region: settings['S3_REGION'] ?? '',
  });
}

function portsOf(settings: Settings): readonly number[] {
  const address = `http://${settings['TEMPORAL_ADDRESS']}`;
  const urls = [settings['DATABASE_URL'], address, settings['TEMPORAL_UI_URL'], settings['S3_ENDPOINT']];
  return urls.map((url) => Number(new URL(url ?? '').port));
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

function isAlive(pid: number): boolean {
  return processIdentityOf(pid) !== null;
}
