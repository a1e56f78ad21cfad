import { beforeAll, expect, test } from '@jest/globals';
import { inLanes } from '../support/in-lanes.js';
import { startService } from '../support/service.js';
import type { SeenGeneration, Service } from '../support/service.js';
import { TIER_VERSIONS, startSimulator } from '../support/simulator-process.js';
import type { SimulatorProcess } from '../support/simulator-process.js';
import { until } from '../support/until.js';
import { untilStopped } from '../support/until-stopped.js';

const SECONDS_PER_STEP = 0.4;
/** Two seconds are the promise, which `npm run bench -- cancel` measures; here the processors are shared with other tests. */
const RENDERING_MS = 150 * SECONDS_PER_STEP * 1000;

const MOMENTS = [
  { point: 'discoverBackend.before', steps: 10 },
  { point: 'discoverBackend.mid', steps: 10 },
  { point: 'submitPrompt.before', steps: 150 },
  { point: 'submitPrompt.mid', steps: 150 },
  { point: 'awaitCompletion.mid', steps: 150 },
  { point: 'downloadOutputs.before', steps: 2 },
  { point: 'downloadOutputs.mid', steps: 2 },
  { point: 'validateOutputs.mid', steps: 2 },
  { point: 'uploadOutputs.before', steps: 2 },
] as const;
type Moment = (typeof MOMENTS)[number];
const CASES = TIER_VERSIONS.flatMap((version) => MOMENTS.map((moment) => ({ version, ...moment })));

interface Outcome {
  readonly seen: SeenGeneration;
  /** From the moment the worker could hear of the cancel to the first stop that ComfyUI was sent; null without one. */
  readonly stoppedAfterMs: number | null;
}

let outcomes: ReadonlyMap<string, Outcome | Error>;
let problems: ReadonlyMap<string, unknown>;

beforeAll(async () => {
  const collected = new Map<string, Outcome | Error>();
  problems = await inLanes(TIER_VERSIONS, async (version) => cancelInEveryActivity(version, collected));
  outcomes = collected;
}, 15 * 60_000);

test.each(CASES)(
  'on ComfyUI $version a cancel that arrives at $point ends as CANCELLED, and a prompt is stopped long before its end',
  ({ version, point }) => {
    const outcome = outcomes.get(`${version} ${point}`);
    if (outcome === undefined || outcome instanceof Error) throw outcome ?? new Error('It was not tried');
    expect(outcome.seen).toMatchObject({ status: 'CANCELLED', outputs: [] });
    if (/^(submitPrompt|awaitCompletion)\.mid$/.test(point)) expect(outcome.stoppedAfterMs).not.toBeNull();
    expect(outcome.stoppedAfterMs ?? 0).toBeLessThan(RENDERING_MS / 4);
  },
);

test.each(TIER_VERSIONS)('on ComfyUI %s no invariant is broken after all cancels', (version) => {
  expect(problems.get(version)).toBeNull();
});

async function cancelInEveryActivity(version: string, collected: Map<string, Outcome | Error>): Promise<null> {
  const simulator = await startSimulator({ version, secondsPerStep: SECONDS_PER_STEP });
  try {
    const service = await startService({ comfyUrls: [simulator.url] });
    for (const moment of MOMENTS) {
      const outcome = await cancelIn(moment, { service, simulator }).catch((error: unknown) =>
        error instanceof Error ? error : new Error(String(error)),
      );
      collected.set(`${version} ${moment.point}`, outcome);
    }
    await service.stop();
    return null;
  } finally {
    await simulator.stop();
  }
}

/** The worker stops itself there, and hears of the cancel when it goes on. */
async function cancelIn(
  { point, steps }: Moment,
  { service, simulator }: { readonly service: Service; readonly simulator: SimulatorProcess },
): Promise<Outcome> {
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

  const seen = await service.untilStatus(id, 'CANCELLED', 60_000);
  await until('ComfyUI is idle', async () => (await queueRemaining(simulator)) === 0);
  const stops = simulator
    .journal()
    .filter(({ event, at }) => ['interrupt', 'queue_deleted'].includes(event) && Date.parse(at) >= resumedAt)
    .map(({ at }) => Date.parse(at) - resumedAt);
  return { seen, stoppedAfterMs: stops[0] ?? null };
}

async function queueRemaining({ url }: SimulatorProcess): Promise<number> {
  const answer = await fetch(`${url}/prompt`);
  return ((await answer.json()) as { exec_info: { queue_remaining: number } }).exec_info.queue_remaining;
}
