import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { ApplicationFailure } from '@temporalio/common';
import { cancelled, heartbeat } from '@temporalio/activity';
import { Client, Connection } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Selectable } from 'kysely';
import { pino } from 'pino';
import { changeClaim, claimKey } from '../../activities/storage/claim-record.js';
import { createObjectStore } from '../../activities/storage/object-store.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import { openDatabase } from '../../infra/postgres/database.js';
import type { DatabaseConnection } from '../../infra/postgres/database.js';
import type { GenerationsTable } from '../../infra/postgres/database-schema.js';
import type { StorageConfig } from '../../infra/runtime/storage-config.js';
import { startReconciliation } from '../../workers/reconciliation.js';

import { startScriptedTemporal } from '../support/scripted-generation.js';
import type { ScriptedTemporal } from '../support/scripted-generation.js';
import { createTestBucket, createTestDatabase, testServers, uniqueName } from '../support/stack.js';
import { temporalCommand } from '../support/temporal-command.js';
import { until } from '../support/until.js';

let temporal: ScriptedTemporal;
let databaseUrl: string;
let connection: DatabaseConnection;
let bucket: StorageConfig;
let store: ObjectStore;
const running: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  temporal = await startScriptedTemporal();
  databaseUrl = await createTestDatabase();
  connection = openDatabase({ url: databaseUrl, poolSize: 10, onIdleError: () => undefined });
  bucket = await createTestBucket();
  store = createObjectStore(bucket);
}, 60_000);

afterEach(async () => {
  await Promise.all(running.splice(0).map(async (one) => one.stop()));
});

afterAll(async () => {
  await connection.close();
  await temporal.close();
}, 30_000);

function recordingLog() {
  const lines: { msg: string; level: number }[] = [];
  const stream = new PassThrough();
  stream.on('data', (line: Buffer) => lines.push(JSON.parse(line.toString()) as { msg: string; level: number }));
  return { logger: pino({ level: 'debug' }, stream), lines };
}

function reconciling(deps: Partial<Parameters<typeof startReconciliation>[0]> = {}) {
  const log = recordingLog();
  const { database } = connection;
  running.push(
    startReconciliation({
      ...{ database, store, client: temporal.client, logger: log.logger, intervalMs: 100 },
      ...deps,
    }),
  );
  return log;
}

/** A generation as the API accepts it. */
async function accepted(
  id: string,
  facts: Partial<Pick<Selectable<GenerationsTable>, 'status' | 'submission' | 'backend_id'>> = {},
) {
  await connection.database
    .insertInto('generations')
    .values({
      ...{ id, template: 'graph', graph_key: 'graphs/a.json', metadata: '{}', workflow_input: '{}', asked: '{}' },
      ...facts,
    })
    .execute();
}

const rowOf = async (id: string) =>
  connection.database.selectFrom('generations').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
const untilEnded = async (id: string) =>
  until(`${id} has ended`, async () => {
    const row = await rowOf(id);
    return row.finished_at === null ? null : row;
  });
const eventsOf = async (id: string) =>
  connection.database
    .selectFrom('generation_events')
    .select(['type', 'data'])
    .where('generation_id', '=', id)
    .orderBy('sequence')
    .execute();
const isClaimClosed = async (id: string) => (await store.readJson(claimKey(id)))?.value;

/** A Workflow whose outcome the scripted activities did not record, as after a loss of the database's last commits. */
async function closedUnrecorded(script: Parameters<ScriptedTemporal['run']>[0] = {}) {
  const { handle } = await temporal.run(script);
  await handle.result().catch(() => undefined);
  const id = handle.workflowId.slice('generation/'.length);
  await changeClaim(store, id, async () => ({ submission: 1, backendId: 'b1', ended: false }));
  return { id, handle };
}

/** A Workflow whose first task nobody takes. */
async function waiting() {
  const id = uniqueName('g');
  const options = { workflowId: `generation/${id}`, taskQueue: 'nobody' };
  return { id, handle: await temporal.client.workflow.start('generateMedia', options) };
}

/** A Workflow that waits for a GPU. */
async function waitingForGpu() {
  const { handle, calls } = await temporal.run({ discoverBackend: untilCancelled });
  await until('it waits', async () => calls.length === 1);
  return { handle, id: handle.workflowId.slice('generation/'.length) };
}

const untilCancelled = async (): Promise<never> => {
  const timer = setInterval(() => {
    heartbeat();
  }, 50);
  try {
    return await cancelled();
  } finally {
    clearInterval(timer);
  }
};

const fails = (type: string) => async () => {
  throw ApplicationFailure.create({ type, message: `it is ${type}`, nonRetryable: true, details: [{ nodeId: '3' }] });
};

describe('What a closed Workflow left behind is repaired', () => {
  test('terminated: CANCELLED with the reason, the claim closed, and all once although two look', async () => {
    const { id, handle } = await waiting();
    await accepted(id, { status: 'PROCESSING', submission: 2, backend_id: 'b1' });
    await changeClaim(store, id, async () => ({ submission: 2, backendId: 'b1', ended: false }));
    const { runId } = await handle.describe();
    await handle.terminate('the GPU is needed');
    reconciling();
    reconciling();

    expect(await untilEnded(id)).toMatchObject({ status: 'CANCELLED', failure_kind: null, ended_by_run: runId });
    const detail = 'Terminated in Temporal: the GPU is needed';
    expect(await eventsOf(id)).toEqual([{ type: 'cancelled', data: { status: 'CANCELLED', outputs: 0, detail } }]);
    expect(await isClaimClosed(id)).toEqual({ submission: 2, backendId: 'b1', ended: true });
  });

  test('completed: the outputs of its result', async () => {
    const { id } = await closedUnrecorded();
    await accepted(id);
    reconciling();
    expect(await untilEnded(id)).toMatchObject({ status: 'COMPLETED' });
    const outputs = connection.database.selectFrom('outputs').selectAll().where('generation_id', '=', id);
    expect(await outputs.execute()).toMatchObject([{ index: 0, object_key: `jobs/${id}/image_0.png`, bytes: '100' }]);
    expect(await isClaimClosed(id)).toMatchObject({ ended: true });
  });

  test.each([
    ['NO_FACE', { status: 'FAILED', failure_kind: 'NO_FACE' }],
    ['TIMEOUT', { status: 'TIMEOUT', failure_kind: 'TIMEOUT' }],
  ] as const)('failed with %s: its kind, detail and facts', async (type, expected) => {
    const { id } = await closedUnrecorded({ awaitCompletion: fails(type) });
    await accepted(id);
    reconciling();
    expect(await untilEnded(id)).toMatchObject({
      ...expected,
      failure: { detail: `it is ${type}`, facts: { nodeId: '3' } },
    });
  });

  test('cancelled: CANCELLED', async () => {
    const { id, handle } = await waitingForGpu();
    await accepted(id);
    await handle.cancel();
    await handle.result().catch(() => undefined);
    reconciling();
    expect(await untilEnded(id)).toMatchObject({ status: 'CANCELLED' });
  });

  test('timed out by Temporal: TIMEOUT', async () => {
    const id = uniqueName('g');
    await accepted(id);
    const handle = await temporal.client.workflow.start('generateMedia', {
      ...{ workflowId: `generation/${id}`, taskQueue: 'nobody', workflowExecutionTimeout: '1 second' },
    });
    await handle.result().catch(() => undefined);
    reconciling();
    expect(await untilEnded(id)).toMatchObject({ status: 'TIMEOUT', failure_kind: 'TIMEOUT' });
  });

  test('terminated right after its outcome was recorded: the claim is closed all the same', async () => {
    const { id, handle } = await waiting();
    await accepted(id);
    const ended = { status: 'CANCELLED', finished_at: new Date() } as const;
    await connection.database.updateTable('generations').set(ended).where('id', '=', id).execute();
    await changeClaim(store, id, async () => ({ submission: 1, backendId: 'b1', ended: false }));
    await handle.terminate();
    reconciling();
    await until('the claim is closed', async () => JSON.stringify(await isClaimClosed(id)).includes('true'));
    expect(await eventsOf(id)).toEqual([]);
  });
});

describe('What is under way is left alone', () => {
  test('after a reset the run before is terminated, but the latest is not', async () => {
    const { id, handle } = await waitingForGpu();
    await accepted(id, { status: 'PROCESSING', submission: 1 });
    await changeClaim(store, id, async () => ({ submission: 1, backendId: 'b1', ended: false }));
    const reset = ['workflow', 'reset', '-w', handle.workflowId, '--event-id', '4', '--reason', 'test'];
    await temporalCommand(temporal.client.options.namespace, ...reset);
    const other = await waiting();
    await accepted(other.id);
    await other.handle.terminate();
    reconciling();
    await untilEnded(other.id); // so a round has been over both
    expect(await rowOf(id)).toMatchObject({ status: 'PROCESSING', event_sequence: 0 });
    expect(await isClaimClosed(id)).toMatchObject({ ended: false });
  });
});

describe('An accepted generation without a Workflow', () => {
  const outboxOf = async (id: string) =>
    connection.database.selectFrom('outbox').selectAll().where('generation_id', '=', id).execute();

  test('is started, once, by the relay', async () => {
    const id = uniqueName('g');
    await accepted(id);
    reconciling();
    reconciling();
    await until('it stands in the outbox', async () => (await outboxOf(id)).length === 1);
    expect((await outboxOf(id))[0]).toMatchObject({ kind: 'start' });
    expect(await rowOf(id)).toMatchObject({ status: 'QUEUED' });
    await connection.database.deleteFrom('generations').where('id', '=', id).execute();
  });

  test('is cancelled when that was asked for', async () => {
    const id = uniqueName('g');
    await accepted(id);
    await connection.database
      .updateTable('generations')
      .set({ cancel_requested_at: new Date() })
      .where('id', '=', id)
      .execute();
    reconciling();
    expect(await untilEnded(id)).toMatchObject({ status: 'CANCELLED' });
    expect(await outboxOf(id)).toEqual([]);
  });
});

describe('While a server is away', () => {
  test.each(['Temporal', 'PostgreSQL', 'the object store'] as const)(
    '%s: it is said once, and done when it is back',
    async (server) => {
      const { id, handle } = await waiting();
      await accepted(id);
      await changeClaim(store, id, async () => ({ submission: 1, backendId: 'b1', ended: false }));
      await handle.terminate();
      const door = await openDoor(addressOf(server));
      const { deps, close } = await throughDoor(server, door.port);
      const log = reconciling({ ...deps, intervalMs: 50 });
      const failures = () => log.lines.filter(({ msg }) => msg.startsWith('Reconciliation did not finish'));
      await until('it has tried again', async () => failures().length >= 2, 90_000);
      expect(failures().filter(({ level }) => level >= WARN)).toHaveLength(1);
      door.open();
      await untilEnded(id);
      await until('it says so', async () => log.lines.some(({ msg }) => msg === 'Reconciliation works again'));
      await Promise.all(running.splice(0).map(async (one) => one.stop()));
      await close();
      door.close();
    },
    180_000,
  );
});

/** pino's number. */
const WARN = 40;

function addressOf(server: string): { readonly host: string; readonly port: number } {
  const { temporalAddress } = testServers();
  const text =
    server === 'Temporal' ? `http://${temporalAddress}` : server === 'PostgreSQL' ? databaseUrl : bucket.endpoint;
  const { hostname: host, port } = new URL(text);
  return { host, port: Number(port) };
}

async function throughDoor(server: string, port: number) {
  if (server === 'Temporal') {
    const lazy = Connection.lazy({
      address: `127.0.0.1:${port}`,
      channelArgs: { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 500 },
    });
    const client = new Client({ connection: lazy, namespace: temporal.client.options.namespace });
    return { deps: { client }, close: async () => lazy.close() };
  }
  if (server === 'PostgreSQL') {
    const url = new URL(databaseUrl);
    url.host = `127.0.0.1:${port}`;
    const away = openDatabase({ url: url.href, poolSize: 2, onIdleError: () => undefined });
    return { deps: { database: away.database }, close: away.close };
  }
  const away = createObjectStore({ ...bucket, endpoint: new URL(`http://127.0.0.1:${port}`) });
  return { deps: { store: away }, close: async () => Promise.resolve() };
}

/** A way to a server that is shut at first: connections are accepted and cut off. */
async function openDoor(target: { readonly host: string; readonly port: number }) {
  let isOpen = false;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    if (!isOpen) {
      socket.destroy();
      return;
    }
    const onward = connect(target.port, target.host);
    onward.on('error', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
    sockets.add(socket).add(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    open: () => {
      isOpen = true;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
