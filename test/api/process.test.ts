import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from '@jest/globals';
import { programPath } from '../../infra/runtime/program-path.js';
import { createTestBucket, createEmptyDatabase, testServers } from '../support/stack.js';
import { until } from '../support/until.js';
import { readEvents } from './support/read-events.js';
import { NOWHERE, accept, call } from './support/start-test-api.js';

/** As the build leaves it: `npm test` builds first. */
const entry = process.env['TEST_API_ENTRY'] ?? programPath('api/main');
const started: ChildProcess[] = [];
/** The limit of the headers is 10 s, looked at every 2 s. */
const IDLE_MS = 13_000;

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

interface RunningApi {
  readonly child: ChildProcess;
  readonly url: string;
  readonly exit: Promise<number | null>;
  readonly log: () => string;
}

async function start(changes: Readonly<Record<string, string>> = {}): Promise<RunningApi> {
  expect(existsSync(entry)).toBe(true);
  const [databaseUrl, storage] = [await createEmptyDatabase(), await createTestBucket()];
  const child = fork(entry, {
    env: {
      ...{ PATH: process.env['PATH'], PORT: '0', DATABASE_URL: databaseUrl },
      TEMPORAL_ADDRESS: testServers().temporalAddress,
      S3_ENDPOINT: storage.endpoint.href,
      S3_ACCESS_KEY_ID: storage.accessKeyId,
      S3_SECRET_ACCESS_KEY: storage.secretAccessKey,
      S3_BUCKET: `${storage.bucket}-new`,
      ...changes,
    },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  started.push(child);
  let log = '';
  child.stderr?.on('data', (chunk) => (log += String(chunk)));
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const ready = new Promise<string>((resolve) =>
    child.once('message', (message: { kind: string; url: string }) => {
      resolve(message.url);
    }),
  );
  const url = await Promise.race([ready, exit.then(() => '')]);
  return { child, url, exit, log: () => log };
}

test('the process migrates, makes its bucket, says what it is and stops cleanly on SIGTERM', async () => {
  const { child, url, exit, log } = await start();
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  const id = await accept(url);
  const stream = await readEvents(`${url}/v1/generations/${id}/events`);
  const waiting = call(`${url}/v1/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'wait=60' },
    body: '{"template":"test-card"}',
  });
  await stream.until(({ event }) => event === 'accepted');
  await bothAccepted(url);
  const startedAt = Date.now();
  child.kill('SIGTERM');
  await stream.ended;
  expect((await waiting).status).toBe(202); // whoever waits is answered, not cut off
  expect(await exit).toBe(0);
  expect(Date.now() - startedAt).toBeLessThan(5_000);
  const lines = log()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.every(({ version, commit }) => typeof version === 'string' && typeof commit === 'string')).toBe(true);
  expect(lines.map(({ msg }) => msg)).toContain('The API is ready');
  expect(log()).not.toContain('a prompt');
});

async function bothAccepted(url: string): Promise<void> {
  for (;;) {
    const { json } = await call(`${url}/v1/generations`);
    if ((json['generations'] as readonly unknown[]).length === 2) return;
  }
}

test('the process ends when its parent is gone', async () => {
  const { child, exit } = await start();
  child.disconnect();
  expect(await exit).toBe(0);
});

test.each([
  [{ DATABASE_URL: '' }, 'DATABASE_URL is not set'],
  [{ PORT: 'x' }, 'PORT is'],
  [{ DATABASE_URL: `postgres://a:secret@${NOWHERE}/x` }, 'The API failed'],
])('a process that cannot start ends with 1 and says why: %j', async (changes, words) => {
  const { exit, log } = await start(changes);
  expect(await exit).toBe(1);
  expect(log()).toContain(words);
  expect(log()).not.toContain('secret');
});

test('a request that is sent too slowly is cut, while others are answered', async () => {
  const { url, child, exit } = await start();
  const { hostname, port } = new URL(url);
  const openedAt = Date.now();
  const slow = connect(Number(port), hostname, () => slow.write('GET / HTTP/1.1\r\nHost: localhost\r\n'));
  slow.on('error', () => undefined);
  slow.resume();
  const cut = new Promise<number>((resolve) => slow.once('close', () => resolve(Date.now() - openedAt)));
  expect((await call(`${url}/livez`)).status).toBe(200);
  const cutAfterMs = await cut;
  expect(cutAfterMs).toBeGreaterThan(9_000);
  expect(cutAfterMs).toBeLessThan(15_000);
  child.kill('SIGTERM');
  expect(await exit).toBe(0);
});

test('a connection that was idle for longer than the headers of a request may take is answered again', async () => {
  const { url, child, exit } = await start();
  const { hostname, port } = new URL(url);
  const idle = connect(Number(port), hostname);
  const answers: string[] = [];
  idle.on('data', (chunk) => answers.push(String(chunk)));
  const closed = new Promise<void>((resolve) => idle.once('close', () => resolve()));
  for (const count of [1, 2]) {
    idle.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await Promise.race([
      until('it is answered', async () => answers.join('').split('HTTP/1.1 200').length > count),
      closed,
    ]);
    await Promise.race([sleep(IDLE_MS), closed]);
  }
  expect(answers.join('').split('HTTP/1.1 200')).toHaveLength(3);
  expect(answers.join('')).toContain('Keep-Alive: timeout=65');
  child.kill('SIGTERM');
  expect(await exit).toBe(0);
}, 60_000);
