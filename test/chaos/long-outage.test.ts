import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startOwnServers } from '../support/own-servers.js';
import type { OwnServers } from '../support/own-servers.js';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

const HEARTBEAT_SECONDS = 5;
const SCHEDULE_TO_START_SECONDS = 15;
/** 15 s longer than the silence after which another backend takes over. */
const OUTAGE_MS = (HEARTBEAT_SECONDS + SCHEDULE_TO_START_SECONDS + 15) * 1_000;

let own: OwnServers;
let simulators: readonly SimulatorProcess[];
let service: Service;

beforeAll(async () => {
  own = await startOwnServers();
  simulators = await Promise.all([startSimulator({ secondsPerStep: 1 }), startSimulator({ secondsPerStep: 1 })]);
  service = await startService({
    comfyUrls: simulators.map(({ url }) => url),
    servers: own.servers,
    env: {
      HEARTBEAT_TIMEOUT_SECONDS: String(HEARTBEAT_SECONDS),
      SCHEDULE_TO_START_SECONDS: String(SCHEDULE_TO_START_SECONDS),
    },
  });
}, 120_000);

afterAll(async () => {
  try {
    await service.stop();
  } finally {
    await Promise.all(simulators.map(async (simulator) => simulator.stop()));
    await own.stop();
  }
}, 120_000);

test('Temporal is away for longer than a worker may be silent: nothing is taken over, and nothing is rendered twice', async () => {
  const submit = async (steps: number) =>
    service.submit({
      template: 'sd15-text-to-image',
      parameters: { prompt: `a long night of ${steps}`, width: 64, height: 64, steps, seed: 1 },
    });
  // One ends during the outage, the other after it.
  const accepted = await Promise.all([submit(15), submit(60)]);
  await Promise.all(accepted.map(async ({ id }) => service.untilStatus(id, 'PROCESSING', 60_000)));
  await own.kill('temporal');
  await sleep(OUTAGE_MS);
  await own.start('temporal');
  const ended = await Promise.all(accepted.map(async ({ id }) => service.untilStatus(id, 'COMPLETED', 180_000)));
  for (const generation of ended) expect(generation).toMatchObject({ abandonedRenderings: 0, attempts: [] });
  const events = simulators.flatMap((simulator) => simulator.journal().map(({ event }) => event));
  expect(events.filter((event) => event === 'prompt_received')).toHaveLength(2);
  expect(events.filter((event) => event === 'rendering_finished')).toHaveLength(2);
}, 400_000);
