import { setTimeout as delay } from 'node:timers/promises';
import { executePrompt } from './execute-prompt.js';
import type { ExecutionDeps } from './execution-deps.js';
import { VanishedPrompt } from './faults.js';
import type { HistoryEntry } from './prompt-history.js';
import type { PromptHistory } from './prompt-history.js';
import type { PromptItem } from './prompt-item.js';
import type { PromptQueue } from './prompt-queue.js';

export interface WorkerDeps extends ExecutionDeps {
  readonly queue: PromptQueue;
  readonly history: PromptHistory;
  readonly historyDelayMs: number;
}

/**
 * The one worker of a server (ComfyUI 0.8.0, main.py, prompt_worker): one prompt after the other.
 * @NOTE nothing is caught here: what escapes an execution ends it for good while HTTP keeps answering, as upstream.
 */
export class PromptWorker {
  readonly #deps: WorkerDeps;
  #freeMemory = false;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
  }

  /** POST /free: `freeMemory` also discards the node cache, now when idle, else after the current prompt. */
  free({ freeMemory }: { readonly freeMemory: boolean }): void {
    this.#freeMemory ||= freeMemory;
    this.#deps.queue.wake();
  }

  async run(): Promise<never> {
    const { queue, cache } = this.#deps;
    for (;;) {
      const item = await queue.take();
      if (item !== null) await this.#render(item);
      if (this.#freeMemory) cache.clear();
      this.#freeMemory = false;
    }
  }

  async #render(item: PromptItem): Promise<void> {
    const { faults, hub, journal, queue, history, historyDelayMs } = this.#deps;
    const { promptId } = item;
    journal.write('rendering_started', { promptId });
    try {
      faults.atPromptStart({ promptId });
      const entry = await executePrompt(item, this.#deps);
      await delay(historyDelayMs);
      history.write(promptId, entry);
      journal.write('rendering_finished', { promptId, outcome: outcomeOf(entry) });
    } catch (error) {
      if (!(error instanceof VanishedPrompt)) throw error;
      journal.write('rendering_finished', { promptId, outcome: 'vanished' });
      hub.lastNodeId = null;
      queue.finish();
      return;
    }
    queue.finish();
    if (hub.clientId !== null) hub.send('executing', { node: null, prompt_id: promptId }, hub.clientId);
  }
}

function outcomeOf(entry: HistoryEntry): 'success' | 'error' | 'interrupted' {
  if (entry.status.completed) return 'success';
  return entry.status.messages.at(-1)?.[0] === 'execution_interrupted' ? 'interrupted' : 'error';
}
