import type { NodeValue } from './node-value.js';
import type { Json } from './prompt-history.js';
import type { CacheKind } from './server-versions.js';

/** What a finished node left: reused as it is, file names included. */
export interface CachedNode {
  readonly outputs: readonly NodeValue[];
  readonly ui: { readonly output: Json; readonly meta: Json } | null;
}

/** How many nodes `--cache lru` keeps, and `ram`: here it is their number that presses, not the memory of the machine. */
const MOST_NODES = 100;

/**
 * Results of finished nodes by key. classic: only what the most recent prompt refers to; lru and ram: also older
 * prompts' nodes; none: nothing (ComfyUI 0.8.0, caching.py).
 */
export class NodeCache {
  readonly #kind: CacheKind;
  readonly #nodes = new Map<string, CachedNode>();

  constructor(kind: CacheKind) {
    this.#kind = kind;
  }

  /** A prompt begins: classic forgets everything it does not refer to. */
  beginPrompt(keys: ReadonlySet<string>): void {
    if (this.#kind !== 'classic') return;
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
    if (this.#kind === 'none' || typeof key !== 'string') return;
    this.#nodes.set(key, node);
    const oldest = this.#nodes.keys().next().value;
    const isBounded = this.#kind === 'lru' || this.#kind === 'ram';
    if (isBounded && this.#nodes.size > MOST_NODES && oldest !== undefined) this.#nodes.delete(oldest);
  }

  clear(): void {
    this.#nodes.clear();
  }
}
