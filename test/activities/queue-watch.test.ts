import { afterEach, expect, test } from '@jest/globals';
import { QueueWatch } from '../../activities/comfyui/queue-watch.js';
import { startSimulator } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import { backendAt, closeConnections } from './support/activity-world.js';
import { buildGraph, queued } from './support/prompts.js';
import { simulator, stopSimulators } from './support/simulators.js';

const watches: QueueWatch[] = [];
afterEach(async () => {
  for (const watch of watches.splice(0)) watch.close();
  await closeConnections();
  await stopSimulators();
});

test("the end of anybody's prompt is told by ComfyUI's status event, also after ComfyUI was started again", async () => {
  const comfy = await simulator();
  const backend = backendAt(comfy.url);
  let told = 0;
  watches.push(new QueueWatch(backend, () => (told += 1)));
  expect(told).toBe(0); // nothing is known of a backend that nobody has asked for
  await backend.client();
  await until('the greeting says how long the queue is', async () => told === 1);
  await queued(comfy.url, buildGraph());
  await until('it ends', async () => told === 2); // its coming lets nobody in

  await comfy.kill('SIGKILL');
  await expect(backend.use(async (client) => client.queueRemaining())).rejects.toThrow();
  const again = await startSimulator({ port: comfy.port, dataDir: comfy.dataDir });
  try {
    const before = told;
    await until('it is found again', async () => backend.client());
    await until('it greets again', async () => told > before);
    const greeted = told;
    await queued(comfy.url, buildGraph({ seed: 3 }));
    await until('its end is told', async () => told > greeted);
  } finally {
    await again.stop();
  }
});
