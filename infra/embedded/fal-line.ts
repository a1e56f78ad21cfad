import { stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import { FAL_QUEUE_URL, falConfigFrom } from '../runtime/fal-config.js';

/** That fal.ai is used, and what it may cost; no line without a key, because nothing is sent there then. */
export function falLine(env: Env): readonly string[] {
  const { key, queueUrl, ceilings } = falConfigFrom(env);
  if (key === null) return [];
  const where = queueUrl === FAL_QUEUE_URL ? '' : ` at ${queueUrl}`;
  const cost = `at most ${ceilings.usdPerGeneration} US$ a generation, ${ceilings.usdPerDay} US$ in 24 hours`;
  return [`  fal.ai            on${where} (PROVIDER=${stringFrom(env, 'PROVIDER', 'comfyui')}), ${cost}`];
}
