import type { GraphNode } from './graph.js';

/** One rule that a graph of a caller breaks, and where. */
export interface GraphBreach {
  /** `null` for the graph as a whole. */
  readonly nodeId: string | null;
  readonly title: string | null;
  readonly classType: string | null;
  readonly input: string | null;
  /** What stands there, shortened; `null` where it is not the value that is wrong. */
  readonly value: string | null;
  /** What is wrong, and what to do. */
  readonly message: string;
}

const MAX_VALUE_CHARS = 100;

/** A breach of one node. */
export function breachOf(
  nodeId: string,
  node: GraphNode,
  fault: { readonly input?: string; readonly value?: unknown; readonly message: string },
): GraphBreach {
  const { input = null, value, message } = fault;
  const title = node._meta?.title ?? null;
  return {
    nodeId,
    title,
    classType: node.class_type,
    input,
    value: value === undefined ? null : shown(value),
    message,
  };
}

/** A breach of the graph as a whole. */
export function breachOfGraph(message: string): GraphBreach {
  return { nodeId: null, title: null, classType: null, input: null, value: null, message };
}

/** `node 3 "Photo" (LoadImage), image = "x.png": …`. */
export function breachInWords({ nodeId, title, classType, input, value, message }: GraphBreach): string {
  if (nodeId === null) return `the graph ${message}`;
  const name = title === null || title === classType ? '' : ` "${title}"`;
  const place = input === null ? '' : `, ${input}${value === null ? '' : ` = ${value}`}`;
  return `node ${nodeId}${name} (${classType})${place}: ${message}`;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > MAX_VALUE_CHARS ? `${text.slice(0, MAX_VALUE_CHARS)}…` : text;
}
