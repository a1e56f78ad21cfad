import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { createBoundedTransport } from '../../activities/storage/bounded-transport.js';
import { ObjectStoreError, refusalOf } from '../../activities/storage/errors.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import { storageConfigFrom } from '../../infra/runtime/storage-config.js';

let server: Server | null = null;
afterEach(() => {
  jest.restoreAllMocks();
  server?.closeAllConnections();
  server?.close();
  server = null;
});

async function listening(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<URL> {
  const listener = createServer(answer);
  server = listener;
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return new URL(`http://127.0.0.1:${(listener.address() as AddressInfo).port}`);
}

const storeAt = (url: URL) =>
  createObjectStore(
    storageConfigFrom({ S3_ENDPOINT: url.href, S3_ACCESS_KEY_ID: 'key', S3_SECRET_ACCESS_KEY: 'secret' }),
  );

async function errorOf(call: Promise<unknown>): Promise<ObjectStoreError> {
  const error: unknown = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof ObjectStoreError) return error;
  throw new Error(`No error of the store, but ${String(error)}`);
}

/** Fails when the request fails, in whatever way that is told. */
function requesting(url: URL, limits: { readonly idleMs?: number; readonly totalMs?: number }): Promise<void> {
  const { request } = createBoundedTransport({ isSecure: false, ...limits });
  return new Promise((resolve, reject) => {
    const sent = request({ host: url.hostname, port: url.port }, (response) => {
      response.resume().once('end', resolve).once('error', reject);
    });
    sent.once('error', reject);
    sent.end();
  });
}

const xml = (code: string) => `<Error><Code>${code}</Code><Message>in words</Message></Error>`;

describe('A refusal', () => {
  test.each([
    [503, xml('SlowDown'), 'SlowDown', null],
    [500, xml('InternalError'), 'InternalError', null],
    [507, xml('XMinioStorageFull'), 'XMinioStorageFull', 'full'],
    [507, xml('InsufficientStorage'), 'InsufficientStorage', 'full'],
    [507, '<html>no S3</html>', 'InsufficientStorage', 'full'],
    [400, xml('XMinioAdminBucketQuotaExceeded'), 'XMinioAdminBucketQuotaExceeded', 'full'],
    [403, xml('QuotaExceeded'), 'QuotaExceeded', 'full'],
    [403, xml('AccessDenied'), 'AccessDenied', null],
    [400, xml('EntityTooLarge'), 'EntityTooLarge', 'too_large'],
    [413, '<html>413 Request Entity Too Large</html>', 'EntityTooLarge', 'too_large'],
    [502, '<html>Bad Gateway</html>', 'HTTP 502', null],
    [504, '', 'HTTP 504', null],
  ])('of %i with %s keeps its code', async (...[status, body, code, refusal]) => {
    const store = storeAt(
      await listening((request, response) => request.resume().on('end', () => response.writeHead(status).end(body))),
    );
    const error = await errorOf(store.writeJson('a.json', {}, { kind: 'always' }));
    expect([error.code, refusalOf(error)]).toEqual([code, refusal]);
    if (body.includes('in words')) expect(error.message).toContain('in words');
  });

  test('without an end is not read to it', async () => {
    const url = await listening((_request, response) => {
      response.writeHead(503);
      const drip = setInterval(() => response.write('x'.repeat(16 * 1024)), 1);
      response.once('close', () => clearInterval(drip));
    });
    expect(await errorOf(storeAt(url).readJson('a.json'))).toMatchObject({ code: 'HTTP 503' });
  });

  test('leaves its connection to the next request', async () => {
    const ports = new Set<number | undefined>();
    const url = await listening((request, response) => {
      ports.add(request.socket.remotePort);
      response.writeHead(503).end(xml('SlowDown'));
    });
    const store = storeAt(url);
    for (let round = 0; round < 5; round += 1) await errorOf(store.readJson('a.json'));
    expect(ports.size).toBe(1);
  });
});

describe('A store that does not answer', () => {
  test('is given up after its silence', async () => {
    const url = await listening(() => undefined);
    await expect(requesting(url, { idleMs: 100 })).rejects.toThrow('The object store was silent for 0.1 s');
  });

  test('is given up when it falls silent in the middle', async () => {
    const url = await listening((_request, response) =>
      response.writeHead(200, { 'Content-Length': '10' }).write('12345'),
    );
    await expect(requesting(url, { idleMs: 100 })).rejects.toThrow('The object store was silent for 0.1 s');
  });

  test('but drips is given up at the total limit', async () => {
    const url = await listening((_request, response) => {
      const drip = setInterval(() => response.write('x'), 20);
      response.once('close', () => clearInterval(drip));
    });
    await expect(requesting(url, { idleMs: 5_000, totalMs: 200 })).rejects.toThrow(
      'The object store took longer than 0.2 s',
    );
  });
});

test.each([
  ['answers', (_request: IncomingMessage, response: ServerResponse) => response.end('{}')],
  ['breaks off', (request: IncomingMessage) => request.socket.destroy()],
])('The total limit ends with a request that the store %s', async (_how, answer) => {
  const totalMs = 60 * 60_000;
  const url = await listening((...exchange) => answer(...exchange));
  const set = jest.spyOn(globalThis, 'setTimeout');
  const cleared = jest.spyOn(globalThis, 'clearTimeout');
  await requesting(url, { totalMs }).catch(() => undefined);
  await sleep(20); // the request closes after its answer
  const index = set.mock.calls.findIndex(([, ms]) => ms === totalMs);
  expect(index).toBeGreaterThanOrEqual(0);
  expect(cleared.mock.calls).toContainEqual([set.mock.results[index]?.value]);
});
