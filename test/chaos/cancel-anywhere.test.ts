import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startService } from '../support/service.js';
import type { Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import { untilStopped } from '../support/until-stopped.js';

let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  simulator = await startSimulator({ secondsPerStep: 0.1 });
  service = await startService({ comfyUrls: [simulator.url] });
}, 120_000);

afterAll(async () => {
  await service.stop();
  await simulator.stop();
}, 90_000);

test.each([
  { point: 'discoverBackend.before', steps: 10 },
  { point: 'discoverBackend.mid', steps: 10 },
  { point: 'submitPrompt.before', steps: 150 },
  { point: 'submitPrompt.mid', steps: 150 },
  { point: 'awaitCompletion.mid', steps: 150 },
  { point: 'downloadOutputs.before', steps: 2 },
  { point: 'downloadOutputs.mid', steps: 2 },
  { point: 'validateOutputs.mid', steps: 2 },
  { point: 'uploadOutputs.before', steps: 2 },
])(
  'a cancel that arrives at $point ends as CANCELLED and leaves nothing on the GPU within two seconds',
  async ({ point, steps }) => {
    await service.killWorker('SIGTERM');
    await service.startWorker({ CRASH_AT: `${point}:1:SIGSTOP` });
    const { id } = await service.submit({
      template: 'sd15-text-to-image',
      parameters: { prompt: point, width: 64, height: 64, steps, seed: 1 },
    });
    await untilStopped(service.workerPid());
    await service.temporal.workflow.getHandle(`generation/${id}`).cancel();
    const resumedAt = Date.now();
    service.signalWorker('SIGCONT');

    await service.untilStatus(id, 'CANCELLED', 60_000);
    await until('ComfyUI is idle', async () => (await queueRemaining()) === 0);
    const stops = simulator
      .journal()
      .filter(({ event, at }) => ['interrupt', 'queue_deleted'].includes(event) && Date.parse(at) >= resumedAt);
    if (point === 'awaitCompletion.mid') {
      expect(stops.length).toBeGreaterThan(0);
      expect(Date.parse(stops[0]?.at ?? '') - resumedAt).toBeLessThan(2_000);
    }
    expect((await service.get(id)).outputs).toEqual([]);
  },
  120_000,
);

async function queueRemaining(): Promise<number> {
  const answer = await fetch(`${simulator.url}/prompt`);
  return ((await answer.json()) as { exec_info: { queue_remaining: number } }).exec_info.queue_remaining;
}
