import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { Client } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import proto from '@temporalio/proto';
import { backendStateQuery, backendWorkflowId } from '../../workflows/contracts/backend.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { createTestNamespace, testServers } from '../support/stack.js';
import { until } from '../support/until.js';

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator();
  service = await startService({ comfyUrls: [simulator.url], env: { WORKER_ROLES: 'control' } });
}, 150_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 60_000);

async function pollersOf(client: Client, taskQueue: string): Promise<number> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
  });
  return pollers?.length ?? 0;
}

test('a GPU worker that starts before any control worker claims nothing until one is there, and then begins by itself', async () => {
  const namespace = await createTestNamespace();
  const client = new Client({ connection: service.temporal.connection, namespace });
  const starting = service.startOther('early', {
    WORKER_ROLES: 'gpu',
    BACKEND_ID: 'gpu-first',
    TEMPORAL_NAMESPACE: namespace,
  });
  const handle = client.workflow.getHandle(backendWorkflowId('gpu-first'));
  await until('its backend is asked for', async () => handle.describe(), 60_000);
  expect(await pollersOf(client, 'gpu')).toBe(0);
  expect(await pollersOf(client, 'gpu@gpu-first')).toBe(0);
  const control = await service.startOther('control', { WORKER_ROLES: 'control', TEMPORAL_NAMESPACE: namespace });
  const gpu = await starting;
  await until('it polls', async () => (await pollersOf(client, 'gpu')) > 0, 60_000);
  await Promise.all([gpu.end('SIGTERM'), control.end('SIGTERM')]);
}, 240_000);

test('a worker that starts before Temporal waits for it; when it is stopped it lets its backend go at once', async () => {
  const door = await startDoor(testServers().temporalAddress);
  const starting = service.startOther('early', {
    WORKER_ROLES: 'gpu',
    BACKEND_ID: 'gpu-early',
    TEMPORAL_ADDRESS: `127.0.0.1:${door.port}`,
  });
  await until('it has knocked twice', async () => door.knocks() >= 2, 60_000);
  door.open();
  const gpu = await starting;
  const handle = service.temporal.workflow.getHandle(backendWorkflowId('gpu-early'));
  const isHeld = async (): Promise<boolean> => (await handle.query(backendStateQuery)).holder !== null;
  await until('it holds its backend and is tended', async () => {
    const { raw } = await handle.describe();
    return (await isHeld()) && raw.pendingActivities?.some(({ lastHeartbeatTime }) => lastHeartbeatTime != null);
  });
  await gpu.end('SIGTERM');
  await until('its backend is free', async () => !(await isHeld()), 10_000); // by silence it takes 15 s
  await door.close();
}, 240_000);

/** A port at which nobody answers until it is opened; then it leads to `address`. */
async function startDoor(address: string) {
  let isOpen = false;
  let knocks = 0;
  const sockets = new Set<Socket>();
  const [host, port] = address.split(':');
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    knocks += 1;
    if (!isOpen) {
      socket.destroy();
      return;
    }
    const inner = connect(Number(port), host ?? '127.0.0.1');
    sockets.add(inner);
    inner.on('error', () => socket.destroy());
    socket.pipe(inner).pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    knocks: () => knocks,
    open: () => {
      isOpen = true;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
