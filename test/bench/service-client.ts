import { setTimeout as delay } from 'node:timers/promises';
import { generationBody, nextSeed } from './picture.js';

const LOOK_MS = 100;

interface SeenGeneration {
  readonly id: string;
  readonly status: string;
}

/** A generation from the POST to its end as the client sees it; answers its id. */
export async function generate(apiUrl: string): Promise<string> {
  const response = await fetch(`${apiUrl}/v1/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'wait=60' },
    body: JSON.stringify(generationBody(nextSeed())),
  });
  let generation = (await response.json()) as SeenGeneration;
  // A machine that is very slow: the wait is over before the generation is.
  while (['QUEUED', 'PROCESSING', 'RECOVERING'].includes(generation.status)) {
    await delay(LOOK_MS);
    generation = (await (await fetch(`${apiUrl}/v1/generations/${generation.id}`)).json()) as SeenGeneration;
  }
  if (generation.status !== 'COMPLETED') throw new Error(`A generation went wrong: ${JSON.stringify(generation)}`);
  return generation.id;
}
