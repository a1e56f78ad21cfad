import { isLink } from '../../workflows/domain/graph.js';
import type { ApiGraph, GraphNode } from '../../workflows/domain/graph.js';

export type JobParameter = string | number | boolean;

export interface JobChanges {
  /** Replaces the text that feeds the sampler's positive input. */
  readonly prompt: string | null;
  /** Set on every node that has an input of this name. */
  readonly parameters: Readonly<Record<string, JobParameter>>;
}

/** `missing`: what no node of the graph takes, by the name of its field. */
export interface ChangedGraph {
  readonly graph: ApiGraph;
  readonly missing: readonly string[];
}

/** R5.2: the same thing under another name. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  num_inference_steps: ['num_inference_steps', 'steps'],
  steps: ['steps', 'num_inference_steps'],
};

/** The graph with the changes of R5.10; links stay links. */
export function changeJobGraph(graph: ApiGraph, { prompt, parameters }: JobChanges): ChangedGraph {
  const missing: string[] = [];
  let changed = graph;
  for (const [name, value] of Object.entries(parameters)) {
    const inputs = ALIASES[name] ?? [name];
    const nodes = Object.keys(changed).filter((id) => inputs.some((input) => isLiteral(changed[id], input)));
    if (nodes.length === 0) missing.push(`parameters/${name}`);
    for (const id of nodes)
      changed = withInputs(changed, id, (node) => inputs.filter((each) => isLiteral(node, each)), value);
  }
  if (prompt === null) return { graph: changed, missing };
  const texts = positiveTexts(changed);
  if (texts.length === 0) missing.push('prompt');
  for (const id of texts) changed = withInputs(changed, id, () => ['text'], prompt);
  return { graph: changed, missing };
}

function isLiteral(node: GraphNode | undefined, input: string): boolean {
  return node !== undefined && Object.hasOwn(node.inputs, input) && !isLink(node.inputs[input]);
}

function withInputs(
  graph: ApiGraph,
  ...[id, inputsOf, value]: [string, (node: GraphNode) => readonly string[], JobParameter]
): ApiGraph {
  const node = graph[id];
  if (node === undefined) return graph;
  const inputs = Object.fromEntries(inputsOf(node).map((input) => [input, value]));
  return { ...graph, [id]: { ...node, inputs: { ...node.inputs, ...inputs } } };
}

/** Upstream of every `positive` input, through nodes that only pass a conditioning on, to the nodes that hold a text. */
function positiveTexts(graph: ApiGraph): readonly string[] {
  const starts = Object.values(graph).flatMap(({ inputs }) => linkedNode(inputs['positive']));
  const found = new Set<string>();
  const seen = new Set<string>();
  const open = [...starts];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const node = graph[id];
    if (node === undefined || seen.has(id)) continue;
    seen.add(id);
    if (typeof node.inputs['text'] === 'string') found.add(id);
    else open.push(...PASSED_ON.flatMap((input) => linkedNode(node.inputs[input])));
  }
  return [...found];
}

/** Inputs by which ControlNet, area and combining nodes take the conditioning that they pass on. */
const PASSED_ON = [
  'positive',
  'conditioning',
  'conditioning_1',
  'conditioning_2',
  'conditioning_to',
  'conditioning_from',
];

function linkedNode(value: unknown): readonly string[] {
  return isLink(value) ? [value[0]] : [];
}
