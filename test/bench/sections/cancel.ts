import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { JournalEntry } from '../../../infra/simulators/comfyui/journal.js';
import type { SimulatorProcess } from '../../support/simulator-process.js';
import { startBenchServers, startBenchService } from '../bench-stack.js';
import { generationBody, graphOf, nextSeed } from '../picture.js';
import { rounded, sayTable } from '../print.js';
import { quantile } from '../quantile.js';
import type { BenchSection } from '../section.js';

const CANCELS = 20;
/** A rendering takes 40 s: none of them ends by itself. */
const SECONDS_PER_STEP = 2;
const LOOK_MS = 5;

/** From the request to cancel a rendering to the stop that reaches ComfyUI: one who asks ComfyUI itself, and ours. */
export const cancel: BenchSection = {
  name: 'cancel',
  limitMs: 6 * 60_000,
  async measure(run) {
    const servers = await startBenchServers(run);
    const options = { simulators: 1, secondsPerStep: SECONDS_PER_STEP };
    const { apiUrl, simulators } = await startBenchService(servers, run, options);
    const [simulator] = simulators;
    if (simulator === undefined) throw new Error('No simulator was started');
    const directMs: number[] = [];
    const oursMs: number[] = [];
    for (let turn = 0; turn < CANCELS; turn += 1) {
      directMs.push(await cancelledAfter(simulator, async () => startDirectly(simulator.url)));
      oursMs.push(await cancelledAfter(simulator, async () => startGeneration(apiUrl)));
    }
    const row = (name: string, values: readonly number[]) => [
      name,
      ...[0.5, 0.95, 1].map((part) => quantile(values, part).toFixed(0)),
    ];
    sayTable(
      [`cancel to interrupt, ms, ${CANCELS} each`, 'p50', 'p95', 'most'],
      [row('POST /interrupt', directMs), row('ours', oursMs)],
    );
    const ratio = quantile(oursMs, 0.5) / quantile(directMs, 0.5);
    return {
      cancelMsP50: rounded(quantile(oursMs, 0.5)),
      cancelMsMost: rounded(quantile(oursMs, 1)),
      cancelRatio: rounded(ratio, 1),
    };
  },
};

/** Starts one, waits until it renders, calls it off, and answers how long that took to reach ComfyUI, in milliseconds. */
async function cancelledAfter(simulator: SimulatorProcess, start: () => Promise<() => Promise<void>>): Promise<number> {
  const before = simulator.journal().length;
  const news = (event: JournalEntry['event']) =>
    simulator
      .journal()
      .slice(before)
      .find((entry) => entry.event === event);
  const callOff = await start();
  while (news('rendering_started') === undefined) await delay(LOOK_MS);
  const askedAt = Date.now();
  await callOff();
  let stop = news('interrupt');
  while (stop === undefined) {
    await delay(LOOK_MS);
    stop = news('interrupt');
  }
  while (await isBusy(simulator.url)) await delay(LOOK_MS);
  return Date.parse(stop.at) - askedAt;
}

async function isBusy(comfyUrl: string): Promise<boolean> {
  const answer = await fetch(`${comfyUrl}/prompt`);
  return ((await answer.json()) as { exec_info: { queue_remaining: number } }).exec_info.queue_remaining > 0;
}

async function startDirectly(comfyUrl: string): Promise<() => Promise<void>> {
  const promptId = randomUUID();
  await postJson(`${comfyUrl}/prompt`, { prompt: graphOf(nextSeed()), prompt_id: promptId });
  return async () => {
    await postJson(`${comfyUrl}/interrupt`, { prompt_id: promptId });
  };
}

async function startGeneration(apiUrl: string): Promise<() => Promise<void>> {
  const answer = await postJson(`${apiUrl}/v1/generations`, generationBody(nextSeed()));
  const { id } = (await answer.json()) as { readonly id: string };
  return async () => {
    await postJson(`${apiUrl}/v1/generations/${id}/cancel`, {});
  };
}

async function postJson(url: string, body: unknown): Promise<Response> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response;
}
