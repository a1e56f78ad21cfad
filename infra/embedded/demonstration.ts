import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { booleanFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import type { DataFolder } from './data-folder.js';
import type { Reporter } from './reporter.js';
import { demonstrationRequest } from './welcome.js';
import { abortAfter } from '../runtime/abort-after.js';

export interface Demonstration {
  readonly apiUrl: string;
  readonly isSimulated: boolean;
  readonly folder: DataFolder;
  readonly report: Reporter;
  readonly stop: AbortSignal;
}

const LOOK_EVERY_MS = 500;
const GIVE_UP_AFTER_MS = 5 * 60_000;
const ENDED = ['COMPLETED', 'FAILED', 'TIMEOUT', 'CANCELLED'];

const generationSchema = z.object({
  id: z.string(),
  status: z.string(),
  progress: z.object({ percent: z.number().nullish(), node: z.string().nullish() }).nullish(),
  outputs: z.array(z.object({ url: z.string() })).nullish(),
  error: z.object({ title: z.string().nullish(), detail: z.string().nullish() }).nullish(),
});

type Generation = z.infer<typeof generationSchema>;

/** The very first start makes one picture, so that one sees that it works. A failure is a warning, nothing more. */
export async function demonstrateOnce(demonstration: Demonstration, env: Env): Promise<void> {
  const { folder, report, stop } = demonstration;
  const marker = folder.path('demonstrated');
  try {
    if (!booleanFrom(env, 'DEMO', true) || existsSync(marker)) return;
    writeFileSync(marker, new Date().toISOString());
    report.say('First start: making one picture as a demonstration (DEMO=off skips this)');
    const made = await abortAfter(GIVE_UP_AFTER_MS, [stop], async (signal) => followed(demonstration, signal));
    report.say(`Demonstration: ${outcomeOf(made, demonstration.apiUrl)}`);
  } catch (error) {
    if (!stop.aborted) report.say(`Warning: the demonstration did not work: ${String(error)}`);
  }
}

async function followed(demonstration: Demonstration, signal: AbortSignal): Promise<Generation> {
  const { apiUrl, isSimulated, report } = demonstration;
  const body = JSON.stringify(demonstrationRequest(isSimulated));
  const headers = { 'content-type': 'application/json' };
  let generation = await generationFrom(`${apiUrl}/v1/generations`, { method: 'POST', headers, body, signal });
  let said = '';
  while (!ENDED.includes(generation.status)) {
    const line = progressOf(generation);
    if (line !== said) report.say(line);
    said = line;
    await delay(LOOK_EVERY_MS, undefined, { signal });
    generation = await generationFrom(`${apiUrl}/v1/generations/${generation.id}`, { signal });
  }
  return generation;
}

async function generationFrom(url: string, init: RequestInit): Promise<Generation> {
  const response = await fetch(url, init);
  if (!response.ok) throw new Error(`HTTP ${response.status} ${(await response.text()).slice(0, 300)}`);
  return generationSchema.parse(await response.json());
}

function progressOf({ status, progress }: Generation): string {
  const percent = progress?.percent == null ? '' : ` ${Math.round(progress.percent)} %`;
  const node = progress?.node == null ? '' : ` (node ${progress.node})`;
  return `  ${status}${percent}${node}`;
}

function outcomeOf({ status, outputs, error }: Generation, apiUrl: string): string {
  const first = outputs?.[0];
  if (status === 'COMPLETED' && first !== undefined)
    return `COMPLETED, the picture is ${new URL(first.url, apiUrl).href}`;
  return `${status}${error == null ? '' : `: ${error.title ?? ''} ${error.detail ?? ''}`}`;
}
