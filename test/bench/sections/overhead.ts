import type { Client } from '@temporalio/client';
import { storageConfigFrom } from '../../../infra/runtime/storage-config.js';
import { generationWorkflowId } from '../../../workflows/contracts/generation.js';
import { startBenchServers, startBenchService } from '../bench-stack.js';
import type { BenchServers } from '../bench-stack.js';
import { createDirectClient } from '../direct-client.js';
import { startFloor } from '../floor/start-floor.js';
import { medianSteps, stepsOf, timedEventsOf } from '../history-profile.js';
import type { Step } from '../history-profile.js';
import { rounded, say, sayTable } from '../print.js';
import type { BenchRun, BenchSection, Figures } from '../section.js';
import { generate } from '../service-client.js';
import { timeCalls, timingOf } from '../timing.js';
import type { Lap, Timing } from '../timing.js';

interface Load {
  readonly concurrency: number;
  readonly simulators: number;
  /** The three ways take turns, lap by lap, so that a machine whose speed drifts slows all of them. */
  readonly laps: number;
  readonly callsInLap: number;
  readonly warmUp: number;
}

const ALONE: Load = { concurrency: 1, simulators: 1, laps: 40, callsInLap: 1, warmUp: 5 };
const CROWD: Load = { concurrency: 32, simulators: 4, laps: 3, callsInLap: 64, warmUp: 32 };

interface Measured {
  readonly direct: Timing;
  readonly floor: Timing;
  readonly ours: Timing;
  /** Median activities of what was measured, from the histories. */
  readonly steps: { readonly floor: readonly Step[]; readonly ours: readonly Step[] };
}

/** What durability costs over a client that talks to ComfyUI itself, and over Temporal with nothing to do. */
export const overhead: BenchSection = {
  name: 'overhead',
  limitMs: 6 * 60_000,
  async measure(run) {
    const servers = await startBenchServers(run);
    const alone = await measure(servers, run, ALONE);
    sayWhereTimeGoes(alone);
    const crowd = await measure(servers, run, CROWD);
    return { ...figuresOf(alone, 1), ...figuresOf(crowd, CROWD.concurrency) };
  },
};

async function measure(servers: BenchServers, run: BenchRun, load: Load): Promise<Measured> {
  const { concurrency, simulators, laps, callsInLap, warmUp } = load;
  const service = await startBenchService(servers, run, { simulators, secondsPerStep: 0 });
  const floor = await startFloor(servers, run, simulators);
  const makeDirectly = createDirectClient(storageConfigFrom(servers.env));
  const urlOf = (number: number) => service.simulators[number % simulators]?.url ?? '';
  const workflowIds = { floor: [] as string[], ours: [] as string[] };
  const ways = {
    direct: async (number: number) => makeDirectly(urlOf(number)),
    floor: async (number: number) => workflowIds.floor.push(await floor.runFloor(number % simulators)),
    ours: async () => workflowIds.ours.push(generationWorkflowId(await generate(service.apiUrl))),
  };
  const measured: Record<keyof typeof ways, Lap[]> = { direct: [], floor: [], ours: [] };
  for (const way of Object.values(ways)) await timeCalls(way, { count: warmUp, concurrency });
  for (const ids of Object.values(workflowIds)) ids.length = 0;
  for (let lap = 0; lap < laps; lap += 1) {
    for (const name of ['direct', 'floor', 'ours'] as const) {
      measured[name].push(await timeCalls(ways[name], { count: callsInLap, concurrency }));
    }
  }
  const steps = {
    floor: await stepsOfAll(floor.temporal, workflowIds.floor),
    ours: await stepsOfAll(servers.temporal, workflowIds.ours),
  };
  await floor.stop();
  await service.stop();
  const [direct, bare, ours] = [timingOf(measured.direct), timingOf(measured.floor), timingOf(measured.ours)];
  say(`Concurrency ${concurrency}, ${simulators} simulator(s), ${laps * callsInLap} calls each, milliseconds`);
  sayTable(
    ['', 'p50', 'p95', 'per second', 'processor'],
    [rowOf('(a) direct client', direct), rowOf('(b) bare Workflow', bare), rowOf('(c) ours, POST to end', ours)],
  );
  return { direct, floor: bare, ours, steps };
}

function rowOf(name: string, { p50, p95, perSecond, processorMs }: Timing): readonly string[] {
  return [name, p50.toFixed(0), p95.toFixed(0), perSecond.toFixed(1), processorMs?.toFixed(0) ?? '–'];
}

function figuresOf({ direct, floor, ours }: Measured, concurrency: number): Figures {
  const spreads = Object.entries({ direct, floor, ours }).flatMap(([name, { p50, p95, perSecond, processorMs }]) => [
    [`${name}P50Ms${concurrency}`, rounded(p50)] as const,
    [`${name}P95Ms${concurrency}`, rounded(p95)] as const,
    [`${name}PerSecond${concurrency}`, rounded(perSecond, 1)] as const,
    [`${name}ProcessorMs${concurrency}`, processorMs === null ? null : rounded(processorMs)] as const,
  ]);
  return {
    [`overheadRatio${concurrency}`]: rounded(ours.p50 / (direct.p50 + floor.p50), 2),
    [`throughputRatio${concurrency}`]: rounded(ours.perSecond / floor.perSecond, 2),
    [`aboveDirectMs${concurrency}`]: rounded(ours.p50 - direct.p50),
    ...(Object.fromEntries(spreads) as Figures),
  };
}

async function stepsOfAll(temporal: Client, workflowIds: readonly string[]): Promise<readonly Step[]> {
  return medianSteps(
    await Promise.all(workflowIds.map(async (workflowId) => stepsOf(await timedEventsOf(temporal, workflowId)))),
  );
}

/** How long each activity waited for a worker, and ran; what the bare Workflow shows is Temporal's own part of it. */
function sayWhereTimeGoes({ steps: { floor, ours } }: Measured): void {
  say('Where the time goes within the Workflow at concurrency 1, medians in milliseconds');
  sayTable(
    ['', '(b) waits', '(b) runs', '(c) waits', '(c) runs'],
    ours.map(({ name, waitMs, runMs }) => {
      const bare = floor.find((step) => step.name === name);
      return [name, ...[bare?.waitMs, bare?.runMs, waitMs, runMs].map((ms) => (ms ?? 0).toFixed(1))];
    }),
  );
}
