import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createRandom } from './random.js';
import { SERVER_NAMES, startOwnServers } from './own-servers.js';
import type { OwnServers } from './own-servers.js';
import { startService } from './service.js';
import type { Service } from './service.js';
import { startSimulator } from './simulator-process.js';
import type { SimulatorProcess } from './simulator-process.js';

const SEED = Number(process.env['CHAOS_SEED'] ?? Date.now() % 1_000_000);
const SIMULATORS = 4;
const KILL_EVERY_MS = 5_000;
const MAX_STARTS = 3;
const TERMINAL = ['COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED'];

let own: OwnServers;
let simulators: SimulatorProcess[];
let service: Service;

export interface RandomKills {
  readonly generations: number;
  /** A hang limit, not a goal. */
  readonly withinMs: number;
}

/** Defines one test: generations on four ComfyUIs while a random process dies every 5 s. `CHAOS_SEED` repeats its kills. */
export function testRandomKills({ generations, withinMs }: RandomKills): void {
  beforeAll(async () => {
    own = await startOwnServers();
    simulators = await Promise.all(
      Array.from({ length: SIMULATORS }, async () => startSimulator({ secondsPerStep: 0.03 })),
    );
    service = await startService({ comfyUrls: simulators.map(({ url }) => url), servers: own.servers });
  }, 120_000);

  afterAll(async () => {
    try {
      await service.stop(); // runs the checker
    } finally {
      await Promise.all(simulators.map(async (simulator) => simulator.stop()));
      await own.stop();
    }
  }, 120_000);

  test(
    'every generation ends while a random process dies every 5 s',
    async () => {
      process.stdout.write(`random kills: seed ${SEED}\n`); // first, so that a run that hangs can be repeated, too
      const over = new AbortController();
      const kills: string[] = [];
      const killing = killUntil(over.signal, createRandom(SEED), kills);
      try {
        const ids = await submitAll(generations, createRandom(SEED + 1));
        const statuses = await untilAllEnded(ids, withinMs);
        process.stdout.write(
          `random kills: ${kills.length} kills (${summary(kills)}), ${ids.length} generations (${summary(statuses)})\n`,
        );
        expect(new Set(ids).size).toBe(generations);
        expect(kills.length).toBeGreaterThan(3);
        // Two crashes of a ComfyUI under one generation make it poisonous; nothing else may end without a picture.
        const unfinished = statuses.filter((status) => status !== 'COMPLETED').length;
        expect(unfinished / generations).toBeLessThan(0.02);
      } finally {
        over.abort();
        await killing;
      }
    },
    withinMs + 60_000,
  );
}

async function killUntil(signal: AbortSignal, random: () => number, kills: string[]): Promise<void> {
  const victims: Readonly<Record<string, () => Promise<void>>> = {
    worker: async () => {
      await service.killWorker();
      await started(async () => service.startWorker());
    },
    api: async () => {
      await service.killApi();
      await started(async () => service.startApi());
    },
    ...Object.fromEntries(
      SERVER_NAMES.map((name) => [
        name,
        async () => {
          await own.kill(name);
          await own.start(name);
        },
      ]),
    ),
    ...Object.fromEntries(
      simulators.map((_, index) => [`simulator ${index + 1}`, async () => restartSimulator(index)] as const),
    ),
  };
  const names = Object.keys(victims);
  let backAfterMs = 0;
  while (!signal.aborted) {
    // The pause starts when the last victim is back and lasts as long as its start. Else a busy machine never has all of them up.
    await sleep(Math.max(KILL_EVERY_MS, backAfterMs), undefined, { signal }).catch(() => undefined);
    const name = names[Math.floor(random() * names.length)] ?? 'worker';
    kills.push(name.replace(/ \d+$/, ''));
    const killedAtMs = performance.now();
    await victims[name]?.(); // back before the next one dies
    backAfterMs = performance.now() - killedAtMs;
  }
}

/** Tries again, as a supervisor does: on a busy machine a start may need longer than its minute. */
async function started(start: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await start();
      return;
    } catch (error) {
      if (tries === MAX_STARTS) throw error;
    }
  }
}

async function restartSimulator(index: number): Promise<void> {
  const simulator = simulators[index];
  if (simulator === undefined) return;
  await simulator.kill('SIGKILL');
  const { port, dataDir } = simulator;
  simulators[index] = await startSimulator({ secondsPerStep: 0.03, port, dataDir });
}

/** Sends each request with the same Idempotency-Key until it gets an answer, as a careful client does. */
async function submitAll(generations: number, random: () => number): Promise<readonly string[]> {
  const requests = Array.from({ length: generations }, (_, index) => ({
    key: `${SEED}-${index}`,
    body: {
      template: 'sd15-text-to-image',
      parameters: { prompt: `ship ${index}`, width: 64, height: 64, steps: 3 + Math.floor(random() * 12), seed: index },
    },
  }));
  const ids: string[] = [];
  for (const { key, body } of requests) {
    const id = await untilAnswer(async () => {
      const response = await service.post('/v1/generations', body, { 'Idempotency-Key': key });
      if (response.status === 202) return ((await response.json()) as { id: string }).id;
      if (response.status < 500 && response.status !== 409) throw new Error(await response.text());
      await response.body?.cancel();
      return null;
    });
    ids.push(id);
  }
  return ids;
}

async function untilAllEnded(ids: readonly string[], withinMs: number): Promise<readonly string[]> {
  const open = new Set(ids);
  const statuses: string[] = [];
  const deadline = Date.now() + withinMs;
  while (open.size > 0) {
    if (Date.now() > deadline) throw new Error(`${open.size} have not ended: ${[...open].slice(0, 5).join(', ')}`);
    for (const id of open) {
      const { status } = await untilAnswer(async () => service.get(id).catch(() => null));
      if (!TERMINAL.includes(status)) break; // the oldest come first: the rest is probably open, too
      statuses.push(status);
      open.delete(id);
    }
    await sleep(250);
  }
  return statuses;
}

async function untilAnswer<T>(ask: () => Promise<T | null>): Promise<T> {
  for (;;) {
    const answer = await ask().catch((error: unknown) => {
      // The API restarts. The text is compared, because the class belongs to another realm than the test.
      if (String(error).startsWith('TypeError')) return null;
      throw error;
    });
    if (answer !== null && answer !== undefined) return answer;
    await sleep(200);
  }
}

function summary(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ');
}
