import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

export const JOURNAL_EVENTS = [
  'started',
  'prompt_received',
  'prompt_queued',
  'rendering_started',
  'node_executed',
  'node_cached',
  'rendering_finished',
  'interrupt',
  'queue_deleted',
  'history_evicted',
  'view',
  'upload',
  'fault',
  'worker_died',
] as const;

export interface JournalEntry {
  readonly at: string;
  readonly event: (typeof JOURNAL_EVENTS)[number];
  readonly promptId?: string;
  readonly [field: string]: unknown;
}

/** What this simulator received, started and finished, across its lives: one JSON line an event. */
export class Journal<Event extends string = JournalEntry['event']> {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true });
  }

  /** Written synchronously: a line that was written survives kill -9 of the very next instruction. */
  write(event: Event, fields: Readonly<Record<string, unknown>> = {}): void {
    appendFileSync(this.#path, `${JSON.stringify({ at: new Date().toISOString(), event, ...fields })}\n`);
  }

  /** How often a simulator has been started on this folder. */
  lives(): number {
    return this.text()
      .split('\n')
      .filter((line) => line.includes('"event":"started"')).length;
  }

  text(): string {
    return existsSync(this.#path) ? readFileSync(this.#path, 'utf8') : '';
  }
}
