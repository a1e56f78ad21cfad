import { setTimeout as delay } from 'node:timers/promises';
import { generationBody, nextSeed } from './picture.js';

const LOOK_MS = 100;
/** The statistics count over all generations. */
const COUNT_AGAIN_MS = 1_000;

export interface SeenGeneration {
  readonly id: string;
  readonly status: string;
}

/** A generation from the POST to its end as the client sees it; answers its id. */
export async function generate(apiUrl: string): Promise<string> {
  let generation = await submit(apiUrl, generationBody(nextSeed()), { prefer: 'wait=60' });
  // A machine that is very slow: the wait is over before the generation is.
  while (['QUEUED', 'PROCESSING', 'RECOVERING'].includes(generation.status)) {
    await delay(LOOK_MS);
    generation = (await (await fetch(`${apiUrl}/v1/generations/${generation.id}`)).json()) as SeenGeneration;
  }
  if (generation.status !== 'COMPLETED') throw new Error(`A generation went wrong: ${JSON.stringify(generation)}`);
  return generation.id;
}

/** Accepted, or an error with what the API said; beyond a limit, or while something is away, it is sent again later. */
export async function submit(
  apiUrl: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<SeenGeneration> {
  for (;;) {
    const response = await fetch(`${apiUrl}/v1/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    if (response.ok) return (await response.json()) as SeenGeneration;
    if (![429, 503].includes(response.status)) throw new Error(`${response.status}: ${await response.text()}`);
    await response.arrayBuffer();
    await delay(1_000 * Number(response.headers.get('retry-after') ?? 1));
  }
}

/** How many have ended well since the service began; throws when any has not. */
export async function completedSoFar(apiUrl: string): Promise<number> {
  const statistics = (await (await fetch(`${apiUrl}/v1/statistics?hours=24`)).json()) as {
    readonly generations: Readonly<Record<string, number>>;
  };
  const { COMPLETED = 0, FAILED = 0, TIMEOUT = 0 } = statistics.generations;
  if (FAILED + TIMEOUT > 0) throw new Error(`Generations went wrong: ${JSON.stringify(statistics)}`);
  return COMPLETED;
}

/** Resolves when so many have ended well. */
export async function untilCompleted(apiUrl: string, count: number, signal: AbortSignal): Promise<void> {
  while ((await completedSoFar(apiUrl)) < count) await delay(COUNT_AGAIN_MS, undefined, { signal });
}
