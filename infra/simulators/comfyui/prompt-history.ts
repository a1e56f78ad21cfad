import type { PromptTuple } from './prompt-item.js';

export type Json = Readonly<Record<string, unknown>>;

export interface HistoryStatus {
  readonly status_str: 'success' | 'error';
  readonly completed: boolean;
  readonly messages: readonly (readonly [string, Json])[];
}

/** One entry of GET /history. */
export interface HistoryEntry {
  readonly prompt: PromptTuple;
  readonly outputs: Json;
  readonly status: HistoryStatus;
  readonly meta: Json;
}

/** MAXIMUM_HISTORY_SIZE (ComfyUI 0.8.0, execution.py); checked before an insert, so one more can exist. */
const MAX_ENTRIES = 10_000;

/** Finished prompts, oldest first, in memory only; a re-used id keeps its old position. */
export class PromptHistory {
  readonly #entries = new Map<string, HistoryEntry>();
  readonly #onEvict: (promptId: string) => void;

  constructor(onEvict: (promptId: string) => void) {
    this.#onEvict = onEvict;
  }

  write(promptId: string, entry: HistoryEntry): void {
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size > MAX_ENTRIES && oldest !== undefined) this.evict(oldest);
    this.#entries.set(promptId, entry);
  }

  evict(promptId: string): void {
    if (this.#entries.delete(promptId)) this.#onEvict(promptId);
  }

  get(promptId: string): HistoryEntry | undefined {
    return this.#entries.get(promptId);
  }

  entries(): readonly (readonly [string, HistoryEntry])[] {
    return [...this.#entries];
  }

  /** `maxItems` alone: the newest ones, still oldest first; with an offset: a slice from there. */
  slice(maxItems: number | null, offset: number | null): readonly (readonly [string, HistoryEntry])[] {
    const all = this.entries();
    const start = offset ?? (maxItems === null ? 0 : Math.max(0, all.length - maxItems));
    return all.slice(start, maxItems === null ? undefined : start + Math.max(0, maxItems));
  }

  clear(): void {
    this.#entries.clear();
  }

  delete(promptId: string): void {
    this.#entries.delete(promptId);
  }
}
