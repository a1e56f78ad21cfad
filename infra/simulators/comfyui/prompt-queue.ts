import type { PromptItem } from './prompt-item.js';

/** Two items equal in number and id: Python then compares the graphs, which are dicts (ComfyUI 0.8.0, PromptQueue.put). */
export class IncomparablePrompts extends Error {
  override readonly name = 'IncomparablePrompts';
}

/** Pending prompts as a binary heap by (number, id), laid out as Python's heapq does, since /queue shows the raw array. */
export class PromptQueue {
  readonly #heap: PromptItem[] = [];
  #running: PromptItem | null = null;
  #wake: (() => void) | null = null;
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get running(): PromptItem | null {
    return this.#running;
  }

  /** Raw heap order, not execution order. */
  get pending(): readonly PromptItem[] {
    return this.#heap;
  }

  get remaining(): number {
    return this.#heap.length + (this.#running === null ? 0 : 1);
  }

  /** @NOTE throws after the item is already in the heap: the client gets a 500 and the prompt still runs. */
  put(item: PromptItem): void {
    this.#heap.push(item);
    this.#siftUp(this.#heap.length - 1);
    this.#onChange();
    this.wake();
  }

  /** Lets the worker look again, also when nothing was put (POST /free). */
  wake(): void {
    this.#wake?.();
    this.#wake = null;
  }

  /** The next prompt, now running; `null` when the worker was only woken. */
  async take(): Promise<PromptItem | null> {
    if (this.#heap.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const item = this.#pop();
    if (item === null) return null;
    this.#running = item;
    this.#onChange();
    return item;
  }

  /** The running prompt is over; whoever keeps the history has written it. */
  finish(): void {
    this.#running = null;
    this.#onChange();
  }

  clear(): readonly PromptItem[] {
    const dropped = this.#heap.splice(0);
    this.#onChange();
    return dropped;
  }

  /** Removes the first pending item with this id; the running one is left alone. */
  delete(promptId: string): boolean {
    const index = this.#heap.findIndex((item) => item.promptId === promptId);
    if (index === -1) return false;
    const rest = this.#heap.filter((_, position) => position !== index).sort((one, other) => order(one, other));
    this.#heap.splice(0, this.#heap.length, ...rest);
    this.#onChange();
    return true;
  }

  #pop(): PromptItem | null {
    const last = this.#heap.pop();
    const first = this.#heap[0];
    if (last === undefined || first === undefined) return last ?? null;
    this.#heap[0] = last;
    this.#siftDown();
    return first;
  }

  #siftUp(start: number): void {
    for (let index = start; index > 0;) {
      const parentIndex = Math.floor((index - 1) / 2);
      const item = this.#heap[index];
      const parent = this.#heap[parentIndex];
      if (item === undefined || parent === undefined) return;
      if (order(item, parent) === 0) throw new IncomparablePrompts();
      if (order(item, parent) > 0) return;
      this.#heap[index] = parent;
      this.#heap[parentIndex] = item;
      index = parentIndex;
    }
  }

  #siftDown(): void {
    for (let index = 0; ;) {
      const smallest = [2 * index + 1, 2 * index + 2].reduce((best, child) => this.#smaller(best, child), index);
      const item = this.#heap[index];
      const child = this.#heap[smallest];
      if (smallest === index || item === undefined || child === undefined) return;
      this.#heap[index] = child;
      this.#heap[smallest] = item;
      index = smallest;
    }
  }

  #smaller(best: number, candidate: number): number {
    const one = this.#heap[best];
    const other = this.#heap[candidate];
    return one !== undefined && other !== undefined && order(other, one) < 0 ? candidate : best;
  }
}

function order(one: PromptItem, other: PromptItem): number {
  if (one.number !== other.number) return one.number - other.number;
  if (one.promptId === other.promptId) return 0;
  return one.promptId < other.promptId ? -1 : 1;
}
