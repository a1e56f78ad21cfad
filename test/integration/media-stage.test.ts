import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { arm } from '../activities/support/simulators.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';

/** An address of this machine that nothing else uses, so that the well-known ports are free. */
const HOST = '127.0.0.77';
const FIRST_PORT = 8188;
const COMFYUI_PORT = 7821;
const RUNS = 230;
const TEXT_RUNS = 20;
const VANISHING = 8;
/** After the last restart: half a minute of looks finds a prompt lost, and a restart before that is a crash to its watch. */
const VANISHING_AT_LAST = 2;
const RESTARTS = 3;
const AT_ONCE = 24;

let stranger: Server;
let simulator: SimulatorProcess;
let service: Service;

beforeAll(async () => {
  stranger = createServer((_request, response) => response.end('<html>SwarmUI</html>'));
  await new Promise<void>((resolve) => stranger.listen(FIRST_PORT, HOST, resolve));
  simulator = await started();
  service = await startService({ comfyUrls: [simulator.url], env: { COMFYUI_URL: '', COMFYUI_HOST: HOST } });
}, 90_000);

afterAll(async () => {
  await service.stop(); // runs the checker
  await simulator.stop();
  await new Promise((resolve) => stranger.close(resolve));
}, 60_000);

async function started(dataDir?: string): Promise<SimulatorProcess> {
  return startSimulator({
    ...{ secondsPerStep: 0.01, port: COMFYUI_PORT, extraArgs: ['--host', HOST] },
    ...(dataDir !== undefined && { dataDir }),
  });
}

/** Every fifth picture is the one before it again: ComfyUI has it in its cache, and is done before anybody looks. */
function bodyOf(run: number): object {
  if (run % Math.floor(RUNS / TEXT_RUNS) === 0) {
    return { graph: { 1: { class_type: 'PreviewAny', inputs: { source: `text ${run}` } } } };
  }
  const seed = run % 5 === 0 ? run - 1 : run;
  return {
    template: 'sd15-text-to-image',
    parameters: { prompt: 'a ferry', width: 64, height: 64, steps: 2 + (seed % 9), seed },
  };
}

async function vanish(count: number): Promise<void> {
  await arm(simulator, { kind: 'vanish', nodeType: 'KSampler', count });
}

test(`R2 ${RUNS} runs with a stranger on the first port, fast prompts, texts, vanishing prompts and restarts: ${RUNS} results`, async () => {
  await vanish(VANISHING);
  const ids: string[] = [];
  let restarts = 0;
  let next = 0;
  const seen: SeenGeneration[] = [];
  const lane = async (): Promise<void> => {
    while (next < RUNS) {
      const run = next;
      next += 1;
      const { id } = await service.submit(bodyOf(run));
      ids.push(id);
      seen.push(await service.untilStatus(id, 'COMPLETED', 240_000));
      if (seen.length >= ((restarts + 1) * RUNS) / (RESTARTS + 1) && restarts < RESTARTS) {
        restarts += 1;
        await simulator.kill('SIGKILL');
        simulator = await started(simulator.dataDir);
        if (restarts === RESTARTS) await vanish(VANISHING_AT_LAST);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  expect(new Set(ids).size).toBe(RUNS);
  expect(seen.filter(({ outputs }) => outputs.length === 1 && (outputs[0]?.bytes ?? 0) > 0)).toHaveLength(RUNS);
  expect(seen.filter(({ outputs }) => outputs[0]?.kind === 'text').length).toBeGreaterThanOrEqual(TEXT_RUNS);
  const kinds = seen.flatMap(({ attempts }) => attempts.map(({ kind }) => kind));
  expect(kinds.filter((kind) => kind === 'PROMPT_LOST').length).toBeGreaterThanOrEqual(VANISHING_AT_LAST);
  expect(restarts).toBe(RESTARTS);
}, 600_000);
