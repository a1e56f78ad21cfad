import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { parseComfyUIAddress } from '../../activities/comfyui/comfyui-address.js';
import { openProgressSocket } from '../../activities/comfyui/progress-socket.js';
import type { ProgressSocket } from '../../activities/comfyui/progress-socket.js';
import { until } from '../support/until.js';

/** What ComfyUI 0.8.0 sends straight to the owner of the running prompt when it connects (observed). */
const GREETING = [
  { type: 'status', data: { status: { exec_info: { queue_remaining: 1 } }, sid: 'p-1' } },
  { type: 'executing', data: { node: '3' } },
];
const BROADCAST = { type: 'status', data: { status: { exec_info: { queue_remaining: 2 } } } };
const PROGRESS = { type: 'progress', data: { value: 1, max: 10, prompt_id: 'p-1', node: '3' } };

let server: WebSocketServer;
let socket: ProgressSocket;
let seen: { connects: number; events: number; disconnects: number };

beforeEach(async () => {
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  seen = { connects: 0, events: 0, disconnects: 0 };
});

afterEach(() => {
  socket.close();
  for (const client of server.clients) client.terminate();
  server.close();
});

function connected(frames: readonly unknown[]): ProgressSocket {
  server.on('connection', (client) => {
    for (const frame of frames) client.send(JSON.stringify(frame));
  });
  return openProgressSocket({
    address: parseComfyUIAddress(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    promptId: 'p-1',
    nodeCount: 6,
    onConnect: () => {
      seen.connects += 1;
    },
    onEvent: () => {
      seen.events += 1;
    },
    onDisconnect: () => {
      seen.disconnects += 1;
    },
  });
}

test('the greeting is no evidence that events come through, a broadcast and an event are', async () => {
  socket = connected([...GREETING, PROGRESS]);
  await until('the event', async () => seen.events === 1);
  expect(socket.framesSinceConnect()).toBe(1); // the event alone
  for (const client of server.clients) client.send(JSON.stringify(BROADCAST));
  await until('the broadcast', async () => socket.framesSinceConnect() === 2);
});

test('ComfyUI is not asked to compress every event', async () => {
  const connection = once(server, 'connection') as Promise<[unknown, IncomingMessage]>;
  socket = connected(GREETING);
  const [, request] = await connection;
  expect(request.headers['sec-websocket-extensions']).toBeUndefined();
});

test('a connection that breaks after the greeting is told, and a fresh one counts from zero', async () => {
  socket = connected(GREETING);
  await until('it is connected', async () => server.clients.size === 1);
  for (const client of server.clients) client.send(JSON.stringify(PROGRESS));
  await until('the event', async () => seen.events === 1);
  for (const client of server.clients) client.terminate(); // 1006, as when the process dies
  await until('it is told', async () => seen.disconnects === 1);
  await until('it is connected again', async () => seen.connects === 2);
  expect(socket.framesSinceConnect()).toBe(0);
});

test('events of other prompts and frames that are no JSON change nothing', async () => {
  const foreign = { type: 'progress', data: { value: 9, max: 10, prompt_id: 'p-2', node: '3' } };
  socket = connected([foreign, 'not an event', PROGRESS]);
  await until('the event', async () => seen.events === 1);
  expect(socket.progress()).toMatchObject({ step: 1, steps: 10 });
});
