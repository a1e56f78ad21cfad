/** A link to output `slot` of node `nodeId`; any other value is a literal. */
export type GraphLink = readonly [nodeId: string, slot: number];

export interface GraphNode {
  readonly class_type: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly _meta?: { readonly title?: string | undefined } | undefined;
}

/** A graph in ComfyUI's API format: node id → node. (Its UI format, with `nodes` and `links`, cannot be submitted.) */
export type ApiGraph = Readonly<Record<string, GraphNode>>;

export interface GraphBinding {
  readonly node: string;
  readonly input: string;
}

/** ComfyUI tells links from literals by this shape alone (execution.py, `is_link`). */
export function isLink(value: unknown): value is GraphLink {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'number';
}

/** The graph with one value written to every place that it is bound to. */
export function bindValue(graph: ApiGraph, bindings: readonly GraphBinding[], value: unknown): ApiGraph {
  return bindings.reduce<ApiGraph>((bound, { node, input }) => {
    const target = bound[node];
    if (target === undefined) return bound; // a template whose bindings name an absent node is refused when it is loaded
    return { ...bound, [node]: { ...target, inputs: { ...target.inputs, [input]: value } } };
  }, graph);
}

/**
 * Links that point to no node. Such a link on an input that the node class does not declare passes ComfyUI's validation
 * and then kills its only worker thread while HTTP goes on answering (observed on 0.8.0), so it is refused at the door.
 */
export function danglingLinks(graph: ApiGraph): readonly (GraphBinding & { readonly target: string })[] {
  return Object.entries(graph).flatMap(([node, { inputs }]) =>
    Object.entries(inputs).flatMap(([input, value]) =>
      isLink(value) && !Object.hasOwn(graph, value[0]) ? [{ node, input, target: value[0] }] : [],
    ),
  );
}
