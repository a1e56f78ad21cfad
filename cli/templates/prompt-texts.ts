import { isLink } from '../../workflows/domain/graph.js';
import type { ApiGraph, GraphBinding } from '../../workflows/domain/graph.js';

/** Inputs that hold the words of a prompt, in ComfyUI's encoders and in nodes that hold a text. */
const TEXT_INPUTS = ['text', 'text_g', 'text_l', 'clip_l', 't5xxl', 'prompt', 'string', 'value'];
/** Deeper than any graph that people draw. */
const MAX_DEPTH = 50;

/** Where the texts stand that reach this input of any sampler or guider, followed upstream. */
export function textsBehind(graph: ApiGraph, input: 'positive' | 'negative' | 'conditioning'): readonly GraphBinding[] {
  const starts = Object.values(graph)
    .filter(({ class_type: classType }) => input !== 'conditioning' || classType.endsWith('Guider'))
    .flatMap(({ inputs }) => (isLink(inputs[input]) ? [{ nodeId: inputs[input][0], branch: input }] : []));
  const found = starts.flatMap(({ nodeId }) => textsAt(graph, nodeId, { input, depth: 0 }));
  return [...new Map(found.map((binding) => [`${binding.node}.${binding.input}`, binding])).values()];
}

/** A node that passes both branches on (ControlNetApplyAdvanced, InpaintModelConditioning) is followed on the same one. */
function textsAt(
  graph: ApiGraph,
  ...[nodeId, at]: [string, { readonly input: string; readonly depth: number }]
): readonly GraphBinding[] {
  const node = graph[nodeId];
  if (node === undefined || at.depth > MAX_DEPTH || node.class_type === 'ConditioningZeroOut') return [];
  const here = TEXT_INPUTS.filter((name) => typeof node.inputs[name] === 'string');
  if (here.length > 0) return here.map((input) => ({ node: nodeId, input }));
  const same = node.inputs[at.input];
  const links = isLink(same) ? [same] : Object.entries(node.inputs).flatMap(([name, value]) => linkOf(name, value));
  return links.flatMap(([upstream]) => textsAt(graph, upstream, { input: at.input, depth: at.depth + 1 }));
}

/** Models, pictures and the other branch carry no words of this prompt. */
function linkOf(name: string, value: unknown) {
  return isLink(value) && /^(conditioning|text|prompt|string|value)/.test(name) ? [value] : [];
}
