import type { ProgressHub } from './progress-hub.js';
import type { Json } from './prompt-history.js';

/** The `progress_state` of one prompt: cumulative, nodes that have not started are left out. */
export class ProgressState {
  readonly #nodes: Record<string, Json> = {};
  readonly #promptId: string;
  readonly #hub: ProgressHub;

  constructor(promptId: string, hub: ProgressHub) {
    this.#promptId = promptId;
    this.#hub = hub;
  }

  start(nodeId: string): void {
    this.update(nodeId, { value: 0, max: 1 });
  }

  update(nodeId: string, { value, max }: { readonly value: number; readonly max: number }): void {
    this.#set(nodeId, { value, max, state: 'running' });
  }

  /** A node that counted steps ends at its own maximum, any other at 1 of 1. */
  finish(nodeId: string): void {
    const max = this.#nodes[nodeId]?.['max'] ?? 1;
    this.#set(nodeId, { value: max, max, state: 'finished' });
  }

  /** What a preview frame says about the node it belongs to. */
  identityOf(nodeId: string): Json {
    return {
      node_id: nodeId,
      prompt_id: this.#promptId,
      display_node_id: nodeId,
      parent_node_id: null,
      real_node_id: nodeId,
    };
  }

  #set(nodeId: string, state: Json): void {
    this.#nodes[nodeId] = { ...state, ...this.identityOf(nodeId) };
    this.#hub.send('progress_state', { prompt_id: this.#promptId, nodes: { ...this.#nodes } }, this.#hub.clientId);
  }
}
