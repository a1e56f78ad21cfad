import type { Graph } from './graph.js';

/** A queued prompt. Its tuple form is what /queue and /history show; tokens are kept out of it (ComfyUI 0.8.0, execution.py). */
export interface PromptItem {
  readonly number: number;
  readonly promptId: string;
  readonly graph: Graph;
  readonly extraData: Readonly<Record<string, unknown>>;
  readonly outputNodeIds: readonly string[];
}

/** `[number, prompt_id, prompt, extra_data, outputs_to_execute]` */
export type PromptTuple = readonly [number, string, Graph, Readonly<Record<string, unknown>>, readonly string[]];

export function promptTupleOf(item: PromptItem): PromptTuple {
  return [item.number, item.promptId, item.graph, item.extraData, item.outputNodeIds];
}
