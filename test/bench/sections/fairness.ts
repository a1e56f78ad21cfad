import { setTimeout as delay } from 'node:timers/promises';
import { promptIdOf } from '../../../activities/comfyui/prompt-id.js';
import { startBenchServers, startBenchService } from '../bench-stack.js';
import type { BenchService } from '../bench-stack.js';
import { STEPS, generationBody, nextSeed } from '../picture.js';
import { rounded, sayTable } from '../print.js';
import { quantile } from '../quantile.js';
import type { BenchSection } from '../section.js';
import { completedSoFar, submit } from '../service-client.js';
import { timeCalls } from '../timing.js';

const BACKENDS = 2;
const RENDER_SECONDS = 1;
const AT_ONCE = 16;
const SINGLES = 5;
const LOOK_MS = 20;
const CREDITS = 1_000_000;

interface Single {
  readonly seconds: number;
  /** On the GPU that took it, from its acceptance to its own. */
  readonly renderingsBefore: number;
}

/** One account floods the service; how long does the single request of another wait for a GPU? */
export const fairness: BenchSection = {
  name: 'fairness',
  limitMs: 15 * 60_000,
  async measure(run) {
    const flood = run.isQuick ? 60 : 1_000;
    const servers = await startBenchServers(run);
    const options = { simulators: BACKENDS, secondsPerStep: RENDER_SECONDS / STEPS };
    const service = await startBenchService(servers, run, options);
    const { apiUrl } = service;
    for (const id of ['flood', 'single']) await openAccount(apiUrl, id);
    const bodyFor = (account: string) => ({ ...(generationBody(nextSeed()) as object), account });
    await timeCalls(async () => submit(apiUrl, bodyFor('flood')), { count: flood, concurrency: AT_ONCE });
    const singles: Single[] = [];
    while (singles.length < (run.isQuick ? 2 : SINGLES)) {
      const settled = (await completedSoFar(apiUrl)) + 2 * BACKENDS;
      while ((await completedSoFar(apiUrl)) < settled) await delay(LOOK_MS, undefined, { signal: run.signal });
      singles.push(await startOf(service, bodyFor('single'), run.signal));
    }
    const seconds = singles.map((single) => single.seconds);
    const renderings = singles.map((single) => single.renderingsBefore);
    sayTable(
      [`One request beside ${flood} of another account, ${BACKENDS} GPUs, ${RENDER_SECONDS} s`, 'median', 'most'],
      [
        ['seconds until it renders', quantile(seconds, 0.5).toFixed(2), Math.max(...seconds).toFixed(2)],
        ['renderings begun before it on its GPU', String(quantile(renderings, 0.5)), String(Math.max(...renderings))],
        [
          'seconds in renderings',
          (quantile(seconds, 0.5) / RENDER_SECONDS).toFixed(2),
          (Math.max(...seconds) / RENDER_SECONDS).toFixed(2),
        ],
      ],
    );
    return {
      fairnessSecondsP50: rounded(quantile(seconds, 0.5), 2),
      fairnessSecondsMost: rounded(Math.max(...seconds), 2),
      fairnessRenderingsMost: Math.max(...renderings),
    };
  },
};

async function openAccount(apiUrl: string, id: string): Promise<void> {
  for (const [path, body] of [
    ['/v1/accounts', { id }],
    [`/v1/accounts/${id}/grants`, { credits: CREDITS, reference: 'bench' }],
  ] as const) {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${apiUrl}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
  }
}

/** From its acceptance to the beginning of its rendering, by the journals. */
async function startOf({ apiUrl, simulators }: BenchService, body: unknown, signal: AbortSignal): Promise<Single> {
  const { id } = await submit(apiUrl, body);
  const acceptedAtMs = Date.now();
  const promptId = promptIdOf(id, 1);
  for (;;) {
    for (const simulator of simulators) {
      const starts = simulator.journal().filter(({ event }) => event === 'rendering_started');
      const own = starts.find((entry) => entry.promptId === promptId);
      if (own === undefined) continue;
      const before = starts.filter(({ at }) => Date.parse(at) >= acceptedAtMs && at < own.at);
      return { seconds: (Date.parse(own.at) - acceptedAtMs) / 1_000, renderingsBefore: before.length };
    }
    await delay(LOOK_MS, undefined, { signal });
  }
}
