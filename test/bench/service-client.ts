import { generationBody, nextSeed } from './picture.js';

/** A generation from the POST to its end as the client sees it; answers its id. */
export async function generate(apiUrl: string): Promise<string> {
  const response = await fetch(`${apiUrl}/v1/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'wait=60' },
    body: JSON.stringify(generationBody(nextSeed())),
  });
  const generation = (await response.json()) as { readonly id: string; readonly status: string };
  if (response.status !== 200 || generation.status !== 'COMPLETED') {
    throw new Error(`The generation ended with ${response.status}: ${JSON.stringify(generation)}`);
  }
  return generation.id;
}
