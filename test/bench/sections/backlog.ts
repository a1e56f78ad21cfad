import { readPidFiles } from '../../../infra/embedded/processes/pid-file.js';
import { startBenchServers, startBenchService } from '../bench-stack.js';
import type { BenchServers, BenchService } from '../bench-stack.js';
import { generationBody, nextSeed } from '../picture.js';
import { rounded, sayTable } from '../print.js';
import { memoryOf } from '../process-memory.js';
import { quantile } from '../quantile.js';
import type { BenchRun, BenchSection } from '../section.js';
import { submit, untilCompleted } from '../service-client.js';
import { timeCalls } from '../timing.js';

const BACKENDS = 4;
const AT_ONCE = 16;
const LISTS = 20;
const LOOK_MS = 1_000;

interface Measured {
  readonly count: number;
  readonly submitMs: readonly number[];
  readonly listMs: readonly number[];
  readonly drainSeconds: number;
  /** Most beyond what the process had before anything was queued. */
  readonly grownMiB: Readonly<Record<'api' | 'worker', number>>;
}

/** What many waiting generations cost: those who submit, those who look, the processes, and until all are done. */
export const backlog: BenchSection = {
  name: 'backlog',
  limitMs: 60 * 60_000,
  async measure(run) {
    const servers = await startBenchServers(run);
    const options = { simulators: BACKENDS, secondsPerStep: 0, env: { MAX_OPEN_GENERATIONS: '100000' } };
    const service = await startBenchService(servers, run, options);
    const rows: Measured[] = [];
    let before = 0;
    for (const count of run.isQuick ? [20, 100] : [100, 1_000, 10_000]) {
      rows.push(await measureBacklog({ servers, service, run }, { count, before }));
      before += count;
    }
    sayTable(
      [
        ...['queued at once', 'submit p50 ms', 'submit p99 ms', 'list p50 ms', 'list p99 ms', 'all done after s'],
        ...['a second', 'API + MiB', 'worker + MiB'],
      ],
      rows.map(({ count, submitMs, listMs, drainSeconds, grownMiB }) => [
        String(count),
        quantile(submitMs, 0.5).toFixed(0),
        quantile(submitMs, 0.99).toFixed(0),
        quantile(listMs, 0.5).toFixed(0),
        quantile(listMs, 0.99).toFixed(0),
        drainSeconds.toFixed(0),
        (count / drainSeconds).toFixed(1),
        grownMiB.api.toFixed(0),
        grownMiB.worker.toFixed(0),
      ]),
    );
    return {
      backlog: Object.fromEntries(
        rows.map(({ count, submitMs, listMs, drainSeconds, grownMiB }) => [
          String(count),
          {
            submitMsP50: rounded(quantile(submitMs, 0.5)),
            submitMsP99: rounded(quantile(submitMs, 0.99)),
            listMsP50: rounded(quantile(listMs, 0.5)),
            listMsP99: rounded(quantile(listMs, 0.99)),
            drainSeconds: rounded(drainSeconds),
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
  { count, before }: { readonly count: number; readonly before: number },
): Promise<Measured> {
  const { apiUrl } = service;
  const memory = watchMemory(servers);
  await tellAll(apiUrl, 'drain'); // so that everything is queued at once
  const submitting = await timeCalls(async () => submit(apiUrl, generationBody(nextSeed())), {
    ...{ count, concurrency: AT_ONCE },
  });
  const listing = await timeCalls(
    async () => {
      const answer = await fetch(`${apiUrl}/v1/generations?limit=50`);
      if (!answer.ok) throw new Error(await answer.text());
      await answer.json();
    },
    { count: LISTS, concurrency: 1 },
  );
  const startedAt = performance.now();
  await tellAll(apiUrl, 'resume');
  await untilCompleted(apiUrl, before + count, run.signal);
  const drainSeconds = (performance.now() - startedAt) / 1_000;
  const { submitMs, listMs } = { submitMs: submitting.durationsMs, listMs: listing.durationsMs };
  return { count, submitMs, listMs, drainSeconds, grownMiB: memory.stop() };
}

async function tellAll(apiUrl: string, command: 'drain' | 'resume'): Promise<void> {
  const known = (await (await fetch(`${apiUrl}/v1/backends`)).json()) as {
    readonly backends: readonly { readonly backendId: string }[];
  };
  for (const { backendId } of known.backends) {
    const answer = await fetch(`${apiUrl}/v1/backends/${backendId}/${command}`, { method: 'POST' });
    if (!answer.ok) throw new Error(await answer.text());
  }
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
  return {
    stop: () => {
      clearInterval(timer);
      look();
      return { api: most.api - atFirst.api, worker: most.worker - atFirst.worker };
    },
  };
}
