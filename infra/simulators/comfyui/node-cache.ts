import type { SimulatorOptions } from './options.js';
import type { NodeValue } from './node-value.js';
import type { Json } from './prompt-history.js';

/** What a finished node left: reused as it is, file names included. */
export interface CachedNode {
  readonly outputs: readonly NodeValue[];
  readonly ui: { readonly output: Json; readonly meta: Json } | null;
}

/** How many nodes `--cache lru` keeps. */
const LRU_SIZE = 100;

/**
 * Results of finished nodes by key. classic: only what the most recent prompt refers to; lru: also older prompts'
 * nodes; none: nothing (ComfyUI 0.8.0, caching.py).
 */
export class NodeCache {
  readonly #mode: SimulatorOptions['cache'];
  readonly #nodes = new Map<string, CachedNode>();

  constructor(mode: SimulatorOptions['cache']) {
    this.#mode = mode;
  }

  /** A prompt begins: classic forgets everything it does not refer to. */
  beginPrompt(keys: ReadonlySet<string>): void {
    if (this.#mode !== 'classic') return;
    for (const key of this.#nodes.keys()) if (!keys.has(key)) this.#nodes.delete(key);
  }

  get(key: string | null | undefined): CachedNode | undefined {
    const node = this.#nodes.get(key ?? '');
    if (node === undefined || typeof key !== 'string') return undefined;
    this.#nodes.delete(key); // most recently used last
    this.#nodes.set(key, node);
    return node;
  }

  set(key: string | null | undefined, node: CachedNode): void {
    if (this.#mode === 'none' || typeof key !== 'string') return;
    this.#nodes.set(key, node);
    const oldest = this.#nodes.keys().next().value;
    if (this.#mode === 'lru' && this.#nodes.size > LRU_SIZE && oldest !== undefined) this.#nodes.delete(oldest);
  }

  clear(): void {
    this.#nodes.clear();
  }
}
