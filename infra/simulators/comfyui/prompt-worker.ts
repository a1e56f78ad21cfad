import { setTimeout as delay } from 'node:timers/promises';
import { executePrompt } from './execute-prompt.js';
import type { ExecutionDeps } from './execution-deps.js';
import { VanishedPrompt } from './faults/faults.js';
import type { HistoryEntry } from './prompt-history.js';
import type { PromptHistory } from './prompt-history.js';
import type { PromptItem } from './prompt-item.js';
import { IncomparablePrompts } from './prompt-queue.js';
import type { PromptQueue } from './prompt-queue.js';
import type { Vram } from './vram.js';

export interface WorkerDeps extends ExecutionDeps {
  readonly queue: PromptQueue;
  readonly history: PromptHistory;
  readonly historyDelayMs: number;
  readonly vram: Vram;
}

/**
 * The one worker of a server (ComfyUI 0.8.0, main.py, prompt_worker): one prompt after the other.
 * @NOTE nothing is caught here: what escapes an execution ends it for good while HTTP keeps answering, as upstream.
 */
export class PromptWorker {
  readonly #deps: WorkerDeps;
  #freeMemory = false;
  #unloadModels = false;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
  }

  /** POST /free: either gives back held VRAM, `freeMemory` also discards the node cache; now when idle, else after the current prompt. */
  free({ freeMemory, unloadModels }: { readonly freeMemory: boolean; readonly unloadModels: boolean }): void {
    this.#freeMemory ||= freeMemory;
    this.#unloadModels ||= unloadModels;
    this.#deps.queue.wake();
  }

  async run(): Promise<never> {
    const { queue, cache, vram } = this.#deps;
    for (;;) {
      const item = await queue.take();
      if (item !== null) await this.#render(item);
      if (this.#freeMemory) cache.clear();
      if (this.#freeMemory || this.#unloadModels) vram.free();
      this.#freeMemory = false;
      this.#unloadModels = false;
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
      this.#forget(promptId);
      journal.write('rendering_finished', { promptId, outcome: outcomeOf(entry) });
    } catch (error) {
      if (!(error instanceof VanishedPrompt)) throw error;
      journal.write('rendering_finished', { promptId, outcome: 'vanished' });
      hub.lastNodeId = null;
      queue.finish();
      if (error.returnsAfterMs !== null) setTimeout(() => putBack(item, queue), error.returnsAfterMs);
      return;
    }
    queue.finish();
    if (hub.clientId !== null) hub.send('executing', { node: null, prompt_id: promptId }, hub.clientId);
    faults.atPromptEnd({ promptId });
  }

  /** A fault can take an entry out of the history, at once or later. */
  #forget(promptId: string): void {
    const { faults, history } = this.#deps;
    const lifeMs = faults.historyLifeMs({ promptId });
    if (lifeMs === 0) history.evict(promptId);
    else if (lifeMs !== null) setTimeout(() => history.evict(promptId), lifeMs);
  }
}

/** A client may have given the same id and number again meanwhile: the item is then in the queue all the same. */
function putBack(item: PromptItem, queue: PromptQueue): void {
  try {
    queue.put(item);
  } catch (error) {
    if (!(error instanceof IncomparablePrompts)) throw error;
  }
}

function outcomeOf(entry: HistoryEntry): 'success' | 'error' | 'interrupted' {
  if (entry.status.completed) return 'success';
  return entry.status.messages.at(-1)?.[0] === 'execution_interrupted' ? 'interrupted' : 'error';
}
