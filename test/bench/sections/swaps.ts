import { promptIdOf } from '../../../activities/comfyui/prompt-id.js';
import { createRandom } from '../../support/random.js';
import { startBenchServers, startBenchService } from '../bench-stack.js';
import { STEPS, generationBody, nextSeed } from '../picture.js';
import { rounded, sayTable } from '../print.js';
import { quantile } from '../quantile.js';
import { changesIn, renderingsIn } from '../renderings.js';
import type { Rendering } from '../renderings.js';
import type { BenchSection } from '../section.js';
import { submit, untilCompleted } from '../service-client.js';

const BACKENDS = 4;
const RENDER_SECONDS = 0.25;
const MODELS = [
  'v1-5-pruned-emaonly.safetensors',
  'v1-5-pruned-emaonly.ckpt',
  'v1-5-pruned-emaonly-fp16.safetensors',
  'sd_xl_base_1.0.safetensors',
  'sd_xl_refiner_1.0.safetensors',
];
const SUBMITTED_AT_ONCE = 16;
/** Of one generation that came to a GPU again after a failure; none is expected. */
const SUBMISSIONS = [1, 2, 3];
const SEED = 7;

interface Queued {
  readonly model: string;
  readonly acceptedAtMs: number;
}

/** How often the GPUs change models when generations of five models are queued at once, and what that costs those who wait. */
export const swaps: BenchSection = {
  name: 'swaps',
  limitMs: 20 * 60_000,
  async measure(run) {
    const count = run.isQuick ? 60 : 1_000;
    const servers = await startBenchServers(run);
    const options = { simulators: BACKENDS, secondsPerStep: RENDER_SECONDS / STEPS };
    const { apiUrl, simulators } = await startBenchService(servers, run, options);
    const random = createRandom(SEED);
    const models = Array.from({ length: count }, () => MODELS[Math.floor(random() * MODELS.length)] ?? '');
    const queued = await queueAll(apiUrl, models);
    await untilCompleted(apiUrl, count, run.signal);
    const lanes = simulators.map((simulator) =>
      renderingsIn(simulator.journal()).filter(({ promptId }) => queued.has(promptId)),
    );
    const ours = lanes.reduce((sum, lane) => sum + changesIn(modelsOf(lane, queued)), 0);
    const drawn = randomLanes(models, random);
    const atRandom = drawn.reduce((sum, lane) => sum + changesIn(lane), 0);
    const waits = lanes
      .flat()
      .map(({ promptId, fromMs }) => (fromMs - (queued.get(promptId)?.acceptedAtMs ?? 0)) / 1_000);
    const fifo = fifoWaits(lanes, queued);
    const [p95, fifoP95] = [quantile(waits, 0.95), quantile(fifo, 0.95)];
    sayTable(
      [`${count} generations of ${MODELS.length} models, ${BACKENDS} GPUs`, 'swaps', 'wait p50 s', 'wait p95 s'],
      [
        ['ours', String(ours), quantile(waits, 0.5).toFixed(1), p95.toFixed(1)],
        [
          'random routing, first come first served',
          String(atRandom),
          quantile(fifo, 0.5).toFixed(1),
          fifoP95.toFixed(1),
        ],
        ['ratio', (ours / atRandom).toFixed(3), '', (p95 / fifoP95).toFixed(2)],
      ],
    );
    return {
      swaps: ours,
      swapsAtRandom: atRandom,
      swapRatio: rounded(ours / atRandom, 3),
      swapWaitP95Seconds: rounded(p95, 1),
      swapWaitRatio: rounded(p95 / fifoP95, 2),
    };
  },
};

/** By prompt id, for every submission that may come of it. */
async function queueAll(apiUrl: string, models: readonly string[]): Promise<ReadonlyMap<string, Queued>> {
  const queued = new Map<string, Queued>();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < models.length) {
      const model = models[next] ?? '';
      next += 1;
      const body = generationBody(nextSeed()) as { readonly parameters: object };
      const { id } = await submit(apiUrl, { ...body, parameters: { ...body.parameters, model } });
      const known = { model, acceptedAtMs: Date.now() };
      for (const submission of SUBMISSIONS) queued.set(promptIdOf(id, submission), known);
    }
  };
  await Promise.all(Array.from({ length: SUBMITTED_AT_ONCE }, lane));
  return queued;
}

function modelsOf(lane: readonly Rendering[], queued: ReadonlyMap<string, Queued>): readonly string[] {
  return lane.map(({ promptId }) => queued.get(promptId)?.model ?? '');
}

/** The same generations in the same order, each drawn to one of the GPUs. */
function randomLanes(models: readonly string[], random: () => number): readonly (readonly string[])[] {
  const lanes: string[][] = Array.from({ length: BACKENDS }, () => []);
  for (const model of models) lanes[Math.floor(random() * BACKENDS)]?.push(model);
  return lanes;
}

/** What each would have waited if the starts of this run had been given out in the order of acceptance. */
function fifoWaits(lanes: readonly (readonly Rendering[])[], queued: ReadonlyMap<string, Queued>): readonly number[] {
  const starts = lanes.flat().map(({ promptId, fromMs }) => ({
    ...{ fromMs, acceptedAtMs: queued.get(promptId)?.acceptedAtMs ?? 0 },
  }));
  const accepted = starts.map(({ acceptedAtMs }) => acceptedAtMs).sort((a, b) => a - b);
  return starts
    .map(({ fromMs }) => fromMs)
    .sort((a, b) => a - b)
    .map((fromMs, index) => (fromMs - (accepted[index] ?? fromMs)) / 1_000);
}
