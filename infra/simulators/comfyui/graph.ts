import { isRecord } from './is-record.js';

/** One node of a graph in API form. `inputs` can be absent in what a client sends; validation notices where it matters. */
export interface GraphNode {
  readonly class_type: string;
  readonly inputs: Record<string, unknown>;
}

export type Graph = Readonly<Record<string, GraphNode>>;

/** `[nodeId, slot]`: any array in an input is a link (ComfyUI 0.8.0, execution.py). */
export type Link = readonly [string, number];

export function isLink(value: unknown): value is Link {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'number';
}

/** The graph a client sent, every node with an `inputs` object: nodes outside the executed part may have come without. */
export function graphFrom(prompt: Readonly<Record<string, unknown>>): Graph {
  return Object.fromEntries(
    Object.entries(prompt).map(([nodeId, node]) => {
      const fields = isRecord(node) ? node : {};
      const inputs = isRecord(fields['inputs']) ? fields['inputs'] : {};
      return [nodeId, { class_type: String(fields['class_type']), inputs }];
    }),
  );
}
