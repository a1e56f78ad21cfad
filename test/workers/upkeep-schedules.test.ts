import { Server, ServerCredentials } from '@grpc/grpc-js';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createLogger } from '../../infra/runtime/logger.js';
import type { Logger } from '../../infra/runtime/logger.js';
import { startUpkeepSchedules } from '../../workers/upkeep-schedules.js';
import { silentLogger } from '../activities/support/activity-world.js';
import { createTestNamespace, testServers } from '../support/stack.js';
import { until } from '../support/until.js';

let connection: Connection;
let client: Client;
beforeAll(async () => {
  connection = await Connection.connect({ address: testServers().temporalAddress });
  client = new Client({ connection, namespace: await createTestNamespace() });
}, 60_000);
afterAll(async () => connection.close());
beforeEach(async () => {
  for await (const { scheduleId } of client.schedule.list()) await client.schedule.getHandle(scheduleId).delete();
});

/** A control worker that starts, as far as Schedules are concerned; answers when it has made them. */
async function startWorker(cleanupIntervalSeconds = 3_600): Promise<void> {
  const schedules = startUpkeepSchedules({ client, logger: silentLogger, cleanupIntervalSeconds });
  await until('all Schedules are as they are wanted', async () => {
    const { spec } = await client.schedule.getHandle('upkeep/outputs').describe();
    return spec.intervals?.[0]?.every === cleanupIntervalSeconds * 1_000;
  });
  await schedules.stop();
}

const intervalOf = async (id: string) =>
  (await client.schedule.getHandle(id).describe()).spec.intervals?.map(({ every }) => every);

async function listed(): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { scheduleId } of client.schedule.list()) ids.push(scheduleId);
  return ids.sort();
}

test('R4.6 R5.12 files and outputs are looked at every CLEANUP_INTERVAL, recovery data every six hours; one run at a time', async () => {
  await startWorker();
  expect(await intervalOf('upkeep/files')).toEqual([3_600_000]);
  expect(await intervalOf('upkeep/outputs')).toEqual([3_600_000]);
  expect(await intervalOf('upkeep/recovery-data')).toEqual([6 * 3_600_000]);
  const { action, policies, state } = await client.schedule.getHandle('upkeep/files').describe();
  expect(action).toMatchObject({ workflowType: 'upkeep', taskQueue: 'generation', args: [{ task: 'files' }] });
  expect(policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 60_000 });
  expect(state.paused).toBe(false);
});

test('five control workers at once make one Schedule of each', async () => {
  await Promise.all([1, 2, 3, 4, 5].map(async () => startWorker()));
  const ids = await until('all are listed', async () => {
    const found = await listed();
    return found.length >= 3 ? found : null;
  });
  expect(ids).toEqual(['upkeep/files', 'upkeep/outputs', 'upkeep/recovery-data']);
});

test('a changed CLEANUP_INTERVAL is applied at the next start, and a paused Schedule stays paused with its note', async () => {
  await startWorker();
  await client.schedule.getHandle('upkeep/files').pause('the disk is being moved');
  await startWorker(7_200);
  expect(await intervalOf('upkeep/files')).toEqual([7_200_000]);
  const { state } = await client.schedule.getHandle('upkeep/files').describe();
  expect([state.paused, state.note]).toEqual([true, 'the disk is being moved']);
  expect((await client.schedule.getHandle('upkeep/outputs').describe()).state.paused).toBe(false);
});

test('a cluster that refuses Schedules is told of once, with what to do, and not asked again', async () => {
  const server = new Server(); // it knows no call at all, and answers each with UNIMPLEMENTED
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  const refusing = Connection.lazy({ address: `127.0.0.1:${port}` });
  const { logger, lines } = recordingLogger();
  const options = { client: new Client({ connection: refusing }), logger, cleanupIntervalSeconds: 3_600 };
  const schedules = startUpkeepSchedules(options);
  await until('it says so', async () => lines.length > 0);
  await schedules.stop();
  expect(lines).toEqual([expect.stringContaining('Temporal refuses Schedules')]);
  await refusing.close();
  server.forceShutdown();
});

function recordingLogger(): { readonly logger: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const logger = createLogger({ name: 'test', level: 'silent' });
  const warn = (...[, message]: readonly unknown[]) => void lines.push(String(message));
  return { logger: Object.assign(Object.create(logger) as Logger, { warn }), lines };
}
