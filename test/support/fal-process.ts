import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programPath } from '../../infra/runtime/program-path.js';
import type { FalJournalEntry, FalJournalEvent } from '../../infra/simulators/fal/journal.js';
import { SIMULATOR_KEY } from '../../infra/simulators/fal/options.js';
import { spawnSimulator } from './simulator-process.js';
import type { SimulatorProcess } from './simulator-process.js';

export type FalProcess = SimulatorProcess<FalJournalEntry>;

export const FAL_MAIN = programPath('infra/simulators/fal/main');

export interface FalProcessOptions {
  /** Default 0: as fast as possible. */
  readonly seconds?: number;
  readonly runners?: number;
  /** Give the one of a dead process to restart it. */
  readonly dataDir?: string;
  readonly port?: number;
}

/** fal's queue as a process of its own. */
export async function startFal(options: FalProcessOptions = {}): Promise<FalProcess> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'fal-simulator-'));
  const args = [
    ...['--port', String(options.port ?? 0), '--data-dir', dataDir],
    ...['--seconds', String(options.seconds ?? 0), '--runners', String(options.runners ?? 1)],
  ];
  return spawnSimulator({ main: FAL_MAIN, args, dataDir, isOurs: options.dataDir === undefined });
}

export async function armFal(on: FalProcess, fault: object): Promise<void> {
  const response = await callFal(`${on.url}/simulator/faults`, { method: 'POST', body: fault });
  if (response.status !== 201) throw new Error(JSON.stringify(response.body));
}

export function falEvents(on: FalProcess, event: FalJournalEvent): readonly FalJournalEntry[] {
  return on.journal().filter((entry) => entry.event === event);
}

export interface FalAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

export async function callFal(
  url: string,
  options: { readonly method?: string; readonly body?: unknown; readonly key?: string | null } = {},
): Promise<FalAnswer> {
  const { key = SIMULATOR_KEY, method = 'GET', body } = options;
  const response = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json', ...(key !== null && { authorization: `Key ${key}` }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: jsonOr(text) };
}

function jsonOr(text: string): FalAnswer['body'] {
  try {
    return JSON.parse(text) as FalAnswer['body'];
  } catch {
    return { text };
  }
}
