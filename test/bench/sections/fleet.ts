import { storageConfigFrom } from '../../../infra/runtime/storage-config.js';
import { startBenchServers, startBenchService } from '../bench-stack.js';
import type { BenchServers, BenchService } from '../bench-stack.js';
import { createDirectClient } from '../direct-client.js';
import { STEPS } from '../picture.js';
import { rounded, say, sayTable } from '../print.js';
import { quantile, spreadOf } from '../quantile.js';
import { busyShareOf, renderingsIn } from '../renderings.js';
import type { BenchRun, BenchSection, Figures } from '../section.js';
import { generate } from '../service-client.js';
import { timeCalls, timingOf } from '../timing.js';
import type { Timing } from '../timing.js';

const FLEETS = [1, 4, 16];
const SECONDS = [0.05, 1, 5];
/** So many wait or render for each GPU all the time: one renders, one is fetched ahead, the others are on their way. */
const LANES_PER_GPU = 4;
/** Two are enough for a client that puts everything into ComfyUI's own queue. */
const DIRECT_LANES_PER_GPU = 2;
const FULL = { renderings: 100, direct: 20, alone: 10 };
const QUICK = { renderings: 6, direct: 4, alone: 2 };

interface Way {
  readonly timing: Timing;
  /** Of each GPU. */
  readonly busy: readonly number[];
  /** Milliseconds beyond the rendering when nothing else is under way. */
  readonly aloneMs: readonly number[];
}

/** What a fleet does with our service before it, beside a client that talks to the same ComfyUIs itself. */
export const fleet: BenchSection = {
  name: 'fleet',
  limitMs: 120 * 60_000,
  async measure(run) {
    const servers = await startBenchServers(run);
    const cells: { readonly backends: number; readonly seconds: number; readonly ours: Way; readonly direct: Way }[] =
      [];
    for (const seconds of run.isQuick ? SECONDS.slice(0, 2) : SECONDS) {
      for (const backends of FLEETS) {
        run.signal.throwIfAborted();
        cells.push({ backends, seconds, ...(await measureCell(servers, run, { backends, seconds })) });
        say(`  ${backends} × ${seconds} s done`);
      }
    }
    sayTable(
      [
        ...['GPUs × rendering', 'ours /s', 'direct /s', 'ratio', 'busy, least', 'busy, mean', 'direct busy'],
        ...['ours p50, p95 ms', 'direct p50, p95 ms', 'overhead alone p50, p95 ms', 'direct alone'],
      ],
      cells.map(({ backends, seconds, ours, direct }) => [
        `${backends} × ${seconds} s`,
        ours.timing.perSecond.toFixed(2),
        direct.timing.perSecond.toFixed(2),
        (ours.timing.perSecond / direct.timing.perSecond).toFixed(2),
        share(Math.min(...ours.busy)),
        share(meanOf(ours.busy)),
        share(meanOf(direct.busy)),
        spreadText(ours.timing.p50, ours.timing.p95),
        spreadText(direct.timing.p50, direct.timing.p95),
        spreadText(quantile(ours.aloneMs, 0.5), quantile(ours.aloneMs, 0.95)),
        quantile(direct.aloneMs, 0.5).toFixed(0),
      ]),
    );
    say(
      'A GPU that is less busy than that of the direct client waits for our orchestration, which shares the processors.',
    );
    return { fleet: Object.fromEntries(cells.map((cell) => [`${cell.backends}x${cell.seconds}`, figuresOf(cell)])) };
  },
};

async function measureCell(
  servers: BenchServers,
  run: BenchRun,
  { backends, seconds }: { readonly backends: number; readonly seconds: number },
): Promise<{ readonly ours: Way; readonly direct: Way }> {
  const { renderings, direct: directRenderings, alone } = run.isQuick ? QUICK : FULL;
  const service = await startBenchService(servers, run, { simulators: backends, secondsPerStep: seconds / STEPS });
  const makeDirectly = createDirectClient(storageConfigFrom(servers.env));
  const urlOf = (number: number) => service.simulators[number % backends]?.url ?? '';
  await timeCalls(async () => generate(service.apiUrl), { count: backends, concurrency: backends }); // warm
  const ours = await measureWay(service, async () => generate(service.apiUrl), {
    ...{ alone, seconds, count: backends * renderings, concurrency: backends * LANES_PER_GPU },
  });
  const direct = await measureWay(service, async (number) => makeDirectly(urlOf(number)), {
    ...{ alone, seconds, count: backends * directRenderings, concurrency: backends * DIRECT_LANES_PER_GPU },
  });
  await service.stop();
  return { ours, direct };
}

async function measureWay(
  { simulators }: BenchService,
  ...[make, load]: [
    (number: number) => Promise<unknown>,
    { readonly alone: number; readonly seconds: number; readonly count: number; readonly concurrency: number },
  ]
): Promise<Way> {
  const { alone, seconds, ...lap } = load;
  const one = await timeCalls(make, { count: alone, concurrency: 1 });
  const before = simulators.map((simulator) => simulator.journal().length);
  const timing = timingOf([await timeCalls(make, lap)]);
  const busy = simulators.map((simulator, index) =>
    busyShareOf(renderingsIn(simulator.journal().slice(before[index]))),
  );
  return { timing, busy, aloneMs: one.durationsMs.map((ms) => ms - seconds * 1_000) };
}

function figuresOf({ ours, direct }: { readonly ours: Way; readonly direct: Way }): Figures {
  const overhead = spreadOf(ours.aloneMs);
  return {
    perSecond: rounded(ours.timing.perSecond, 2),
    directPerSecond: rounded(direct.timing.perSecond, 2),
    ratio: rounded(ours.timing.perSecond / direct.timing.perSecond, 2),
    busyLeast: rounded(Math.min(...ours.busy), 4),
    busyMean: rounded(meanOf(ours.busy), 4),
    directBusyMean: rounded(meanOf(direct.busy), 4),
    p50Ms: rounded(ours.timing.p50),
    p95Ms: rounded(ours.timing.p95),
    overheadMsP50: rounded(overhead.p50),
    overheadMsP95: rounded(overhead.p95),
    directOverheadMsP50: rounded(quantile(direct.aloneMs, 0.5)),
  };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function share(part: number): string {
  return `${(part * 100).toFixed(1)} %`;
}

function spreadText(p50: number, p95: number): string {
  return `${p50.toFixed(0)}, ${p95.toFixed(0)}`;
}
