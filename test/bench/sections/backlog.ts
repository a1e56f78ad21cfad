import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { readPidFiles } from '../../../infra/embedded/processes/pid-file.js';
import { backlogOf } from '../../../workers/task-queue-backlog.js';
import { gpuTaskQueue } from '../../../workflows/contracts/task-queues.js';
import { heavyModelsOf } from '../../../workflows/domain/heavy-models.js';
import { startBenchServers, startBenchService } from '../bench-stack.js';
import type { BenchServers, BenchService } from '../bench-stack.js';
import { generationBody, graphOf, nextSeed } from '../picture.js';
import { rounded, sayTable } from '../print.js';
import { memoryOf } from '../process-memory.js';
import { quantile } from '../quantile.js';
import type { BenchRun, BenchSection } from '../section.js';
import { submit, untilCompleted } from '../service-client.js';
import { timeCalls } from '../timing.js';

const BACKENDS = 4;
/** Clients that fill the queue; they keep both cores busy together with the Workflows that they start. */
const AT_ONCE = 16;
/** With so many queued, one client calls so often, and has queued as many more. */
const CALLS = { full: 100, quick: 5 } as const;
const LOOK_MS = 1_000;
/** The last Workflows that were started come to their wait. */
const QUIET_MS = 2_000;

type MiB = Readonly<Record<'api' | 'worker', number>>;

interface Measured {
  readonly count: number;
  /** While the queue is filled. */
  readonly fillMs: readonly number[];
  /** With all of them queued. */
  readonly submitMs: readonly number[];
  readonly listMs: readonly number[];
  readonly drainSeconds: number;
  /** What the processes have beyond what they had before anything was queued, while all wait. */
  readonly waitingMiB: MiB;
  /** The most that they had of it, from the first that was submitted to the last that was done. */
  readonly grownMiB: MiB;
}

/** What many waiting generations cost: those who submit, those who look, the processes, and until all are done. */
export const backlog: BenchSection = {
  name: 'backlog',
  limitMs: 120 * 60_000,
  async measure(run) {
    const servers = await startBenchServers(run);
    const options = {
      simulators: BACKENDS,
      secondsPerStep: 0,
      env: { MAX_OPEN_GENERATIONS: '100000', MAX_OPEN_PER_ACCOUNT: '100000' },
    };
    const service = await startBenchService(servers, run, options);
    const rows: Measured[] = [];
    const calls = run.isQuick ? CALLS.quick : CALLS.full;
    let before = 0;
    for (const count of run.isQuick ? [20, 100] : [100, 1_000, 10_000]) {
      rows.push(await measureBacklog({ servers, service, run }, { count, calls, before }));
      before += count + calls;
    }
    sayTable(
      [
        ...['queued at once', `filling by ${AT_ONCE}: p50, p99 ms`, 'submit p50, p99 ms', 'list p50, p99 ms'],
        ...['all done after s', 'a second', 'API, worker + MiB waiting', 'at most'],
      ],
      rows.map(({ count, fillMs, submitMs, listMs, drainSeconds, waitingMiB, grownMiB }) => [
        String(count),
        ...[fillMs, submitMs, listMs].map((ms) => `${quantile(ms, 0.5).toFixed(0)}, ${quantile(ms, 0.99).toFixed(0)}`),
        drainSeconds.toFixed(0),
        ((count + calls) / drainSeconds).toFixed(1),
        ...[waitingMiB, grownMiB].map(({ api, worker }) => `${api.toFixed(0)}, ${worker.toFixed(0)}`),
      ]),
    );
    return {
      backlog: Object.fromEntries(
        rows.map(({ count, fillMs, submitMs, listMs, drainSeconds, waitingMiB, grownMiB }) => [
          String(count),
          {
            fillMsP50: rounded(quantile(fillMs, 0.5)),
            fillMsP99: rounded(quantile(fillMs, 0.99)),
            submitMsP50: rounded(quantile(submitMs, 0.5)),
            submitMsP99: rounded(quantile(submitMs, 0.99)),
            listMsP50: rounded(quantile(listMs, 0.5)),
            listMsP99: rounded(quantile(listMs, 0.99)),
            drainSeconds: rounded(drainSeconds),
            apiWaitingMiB: rounded(waitingMiB.api),
            workerWaitingMiB: rounded(waitingMiB.worker),
            apiGrownMiB: rounded(grownMiB.api),
            workerGrownMiB: rounded(grownMiB.worker),
          },
        ]),
      ),
    };
  },
};

async function measureBacklog(
  { servers, service, run }: { readonly servers: BenchServers; readonly service: BenchService; readonly run: BenchRun },
  { count, calls, before }: { readonly count: number; readonly calls: number; readonly before: number },
): Promise<Measured> {
  const { apiUrl } = service;
  const memory = watchMemory(servers);
  await drainAll(apiUrl, run.signal); // so that everything is queued at once
  const submitOne = async () => submit(apiUrl, generationBody(nextSeed()));
  const filling = await timeCalls(submitOne, { count, concurrency: AT_ONCE });
  await untilQueued(servers.temporal, count, run.signal);
  const submitting = await timeCalls(submitOne, { count: calls, concurrency: 1 });
  await untilQueued(servers.temporal, count + calls, run.signal);
  const listing = await timeCalls(async () => listOnce(apiUrl), { count: calls, concurrency: 1 });
  const waiting = memory.now();
  const startedAt = performance.now();
  await tellAll(apiUrl, 'resume');
  await untilCompleted(apiUrl, before + count + calls, run.signal);
  const drainSeconds = (performance.now() - startedAt) / 1_000;
  return {
    ...{ count, drainSeconds, waitingMiB: waiting, grownMiB: memory.stop() },
    ...{ fillMs: filling.durationsMs, submitMs: submitting.durationsMs, listMs: listing.durationsMs },
  };
}

/** So many wait for a GPU: Temporal and the workers are done with what was submitted, and quiet. */
async function untilQueued(temporal: Client, count: number, signal: AbortSignal): Promise<void> {
  const queue = gpuTaskQueue('default', heavyModelsOf(graphOf(nextSeed())));
  while ((await backlogOf(temporal, queue)) < count) await delay(LOOK_MS, undefined, { signal });
  await delay(QUIET_MS, undefined, { signal });
}

async function listOnce(apiUrl: string): Promise<void> {
  const answer = await fetch(`${apiUrl}/v1/generations?limit=50`);
  if (!answer.ok) throw new Error(await answer.text());
  await answer.json();
}

/** All of them are known, and have done it, when this returns. */
async function drainAll(apiUrl: string, signal: AbortSignal): Promise<void> {
  while ((await backendsAt(apiUrl)).length < BACKENDS) await delay(LOOK_MS, undefined, { signal });
  await tellAll(apiUrl, 'drain');
  while ((await backendsAt(apiUrl)).some(({ gate }) => gate !== 'draining'))
    await delay(LOOK_MS, undefined, { signal });
}

async function tellAll(apiUrl: string, command: 'drain' | 'resume'): Promise<void> {
  for (const { backendId } of await backendsAt(apiUrl)) {
    const answer = await fetch(`${apiUrl}/v1/backends/${backendId}/${command}`, { method: 'POST' });
    if (!answer.ok) throw new Error(await answer.text());
  }
}

interface KnownBackend {
  readonly backendId: string;
  readonly gate: string;
}

async function backendsAt(apiUrl: string): Promise<readonly KnownBackend[]> {
  const answer = await fetch(`${apiUrl}/v1/backends`);
  if (!answer.ok) throw new Error(await answer.text());
  return ((await answer.json()) as { readonly backends: readonly KnownBackend[] }).backends;
}

/** The most that API and worker have resident from now on, beyond what they have now. */
function watchMemory({ context }: BenchServers) {
  const pids = readPidFiles(context.folder);
  const rssOf = (name: string) => memoryOf(pids.find((each) => each.name === name)?.pid ?? 0)?.rssMiB ?? Number.NaN;
  const atFirst = { api: rssOf('api'), worker: rssOf('worker') };
  const most = { ...atFirst };
  const look = (): void => {
    for (const name of ['api', 'worker'] as const) most[name] = Math.max(most[name], rssOf(name));
  };
  const timer = setInterval(look, LOOK_MS);
  const grownTo = ({ api, worker }: MiB): MiB => ({ api: api - atFirst.api, worker: worker - atFirst.worker });
  return {
    now: () => grownTo({ api: rssOf('api'), worker: rssOf('worker') }),
    stop: () => {
      clearInterval(timer);
      look();
      return grownTo(most);
    },
  };
}
