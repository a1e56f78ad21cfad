import type { ApiGraph, GraphNode } from './graph.js';
import { isLink } from './graph.js';
import { adjustedValue } from './recovery-rule.js';
import type { ParameterAdjustment } from './recovery-rule.js';

/** Consecutive pictures of a batch that are rendered as one prompt. */
export interface BatchPart {
  /** 0-based place in the whole batch. */
  readonly first: number;
  readonly count: number;
}

/** How the graph that is rendered differs from the one that was accepted; `UNADAPTED` when it does not. */
export interface Adaptation {
  /** What is left to render, the first one now; empty: the whole batch at once. */
  readonly parts: readonly BatchPart[];
  readonly decodesTiled: boolean;
  /** How often R5.2 has reduced width, height and steps. */
  readonly reductions: number;
  /** Checkpoint that stands in for the one that was asked for. */
  readonly model: string | null;
  /** What rules of the operators have changed, in this order. */
  readonly adjusted?: readonly ParameterAdjustment[];
}

export const UNADAPTED: Adaptation = { parts: [], decodesTiled: false, reductions: 0, model: null };

/** Every change of a graph that a recovery can make. Recorded in event histories: add, never rename. */
export const GRAPH_CHANGES = [
  'split_batch',
  'next_part',
  'tiled_decode',
  'reduce_params',
  'switch_model',
  'adjust_params',
] as const;
export type GraphChange = (typeof GRAPH_CHANGES)[number];

/** What a recovery may change, by the names that templates use; a graph without such a node has no such parameter. */
export type GraphParameters = Readonly<Record<string, number | string | boolean>>;

/** R5.2: below these nothing is reduced. */
const MIN_EDGE_PX = 512;
const MIN_STEPS = 20;
/** ComfyUI's latents are an eighth of a picture each way. */
const EDGE_MULTIPLE_PX = 8;

/** Nodes that begin with an empty picture; those of video, audio and 3D have other measures. */
const EMPTY_LATENT = /^Empty(SD3|Flux2|ChromaRadiance|HunyuanImage)?Latent(Image)?$/;
const SCALED_LATENT = /^LatentUpscale$/;
const STEP_INPUTS = ['steps', 'num_inference_steps'] as const;
/** The inputs of `VAEDecodeTiled` (ComfyUI 0.8.0, nodes.py), with its own defaults. */
const TILES = { tile_size: 512, overlap: 64, temporal_size: 64, temporal_overlap: 8 };

/** What a change takes its values from. */
export interface ChangeMeans {
  readonly substitutes: readonly string[];
  readonly adjust: readonly ParameterAdjustment[];
}

/** The adaptation after one more change; `null` when that would change nothing of this graph. */
export function nextAdaptation(
  graph: ApiGraph,
  current: Adaptation,
  ...[change, { substitutes, adjust }]: [GraphChange, ChangeMeans]
): Adaptation | null {
  switch (change) {
    case 'split_batch':
      return split(graph, current);
    case 'next_part':
      return current.parts.length > 1 ? { ...current, parts: current.parts.slice(1) } : null;
    case 'tiled_decode': {
      const isDecoded = Object.values(graph).some(({ class_type: type }) => type === 'VAEDecode');
      return isDecoded && !current.decodesTiled ? { ...current, decodesTiled: true } : null;
    }
    case 'reduce_params':
      return reduced(graph, current);
    case 'switch_model': {
      const model = substituteFor(graph, current, substitutes);
      return model === null ? null : { ...current, model };
    }
    case 'adjust_params':
      return unlessTheSame(graph, current, { ...current, adjusted: [...(current.adjusted ?? []), ...adjust] });
  }
}

/** The graph as it is rendered; the one that was accepted is never changed. */
export function adaptedGraph(graph: ApiGraph, adaptation: Adaptation): ApiGraph {
  const nodes = Object.entries(graph).map(([id, node]): [string, GraphNode] => [
    id,
    adjustedNode(adaptedNode(node, adaptation), adaptation),
  ]);
  return withPart(Object.fromEntries(nodes), adaptation);
}

/** What the graph asks for under an adaptation, and under further names of inputs. */
export function parametersOf(
  graph: ApiGraph,
  ...[adaptation, named = []]: [Adaptation, (readonly string[])?]
): GraphParameters {
  const nodes = Object.values(adaptedGraph(graph, adaptation));
  const latent = nodes.find(isEmptyLatent);
  const valueOf = (input: string) =>
    nodes.map(({ inputs }) => inputs[input]).find((value) => !isLink(value) && value !== undefined);
  const found: Readonly<Record<string, unknown>> = {
    batch_size: adaptation.parts[0]?.count ?? latent?.inputs['batch_size'],
    width: latent?.inputs['width'],
    height: latent?.inputs['height'],
    steps: valueOf('steps') ?? valueOf('num_inference_steps'),
    model: valueOf('ckpt_name'),
    ...(adaptation.decodesTiled && { tiled_decode: true }),
    ...Object.fromEntries(named.map((name) => [name, valueOf(name)] as const)),
  };
  return Object.fromEntries(Object.entries(found).filter(isParameter));
}

/** What an edge of that many pixels becomes. */
export function adaptedEdge(
  edgePx: number,
  ...[parameter, { reductions, adjusted = [] }]: ['width' | 'height', Adaptation]
): number {
  return adjusted
    .filter((adjustment) => adjustment.parameter === parameter)
    .reduce(adjustedValue, reducedEdge(edgePx, reductions));
}

/** How many pictures the whole batch has; 1 where the graph does not say. */
export function batchSizeOf(graph: ApiGraph): number {
  const sizes = Object.values(graph)
    .filter(isEmptyLatent)
    .map(({ inputs }) => inputs['batch_size']);
  return sizes.length === 1 && typeof sizes[0] === 'number' ? sizes[0] : 1;
}

/** R5.2: a fifth less, rounded down to what a latent can have; what is below the minimum stays. */
function reducedEdge(edgePx: number, times: number): number {
  if (times === 0 || edgePx <= MIN_EDGE_PX) return edgePx;
  const less = Math.max(MIN_EDGE_PX, Math.floor((edgePx * 8) / 10));
  return reducedEdge(Math.floor(less / EDGE_MULTIPLE_PX) * EDGE_MULTIPLE_PX, times - 1);
}

function reducedSteps(steps: number, times: number): number {
  if (times === 0 || steps <= MIN_STEPS) return steps;
  return reducedSteps(Math.max(MIN_STEPS, Math.floor((steps * 8) / 10)), times - 1);
}

/** Halves every part; all pictures that were asked for are still rendered, each in exactly one part. */
function split(graph: ApiGraph, current: Adaptation): Adaptation | null {
  const whole = { first: 0, count: batchSizeOf(graph) };
  const parts = current.parts.length > 0 ? current.parts : [whole];
  if (parts.every(({ count }) => count === 1)) return null;
  return { ...current, parts: parts.flatMap(halves) };
}

function halves({ first, count }: BatchPart): readonly BatchPart[] {
  const half = Math.ceil(count / 2);
  return count === 1
    ? [{ first, count }]
    : [
        { first, count: half },
        { first: first + half, count: count - half },
      ];
}

/** All four at once: a batch that is still larger than one picture is halved, too. */
function reduced(graph: ApiGraph, current: Adaptation): Adaptation | null {
  return unlessTheSame(graph, current, {
    ...(split(graph, current) ?? current),
    reductions: current.reductions + 1,
  });
}

function unlessTheSame(graph: ApiGraph, ...[current, next]: [Adaptation, Adaptation]): Adaptation | null {
  const before = JSON.stringify(adaptedGraph(graph, current));
  return JSON.stringify(adaptedGraph(graph, next)) === before ? null : next;
}

/** R5.4: the next of the list after the one that is missing; a graph without a checkpoint has none. */
function substituteFor(graph: ApiGraph, { model }: Adaptation, substitutes: readonly string[]): string | null {
  const asked = Object.values(graph)
    .map(({ inputs }) => inputs['ckpt_name'])
    .find((name) => typeof name === 'string');
  if (asked === undefined) return null;
  const others = substitutes.filter((name) => name !== asked);
  return others[model === null ? 0 : others.indexOf(model) + 1] ?? null;
}

function adaptedNode(node: GraphNode, { decodesTiled, reductions, model }: Adaptation): GraphNode {
  const { class_type: type, inputs } = node;
  if (decodesTiled && type === 'VAEDecode')
    return { ...node, class_type: 'VAEDecodeTiled', inputs: { ...inputs, ...TILES } };
  if (model !== null && typeof inputs['ckpt_name'] === 'string')
    return { ...node, inputs: { ...inputs, ckpt_name: model } };
  if (reductions === 0) return node;
  if (isEmptyLatent(node) || SCALED_LATENT.test(type))
    return { ...node, inputs: mapped(inputs, ['width', 'height'], (edgePx) => reducedEdge(edgePx, reductions)) };
  const steps = STEP_INPUTS.map((input) => inputs[input]).find((value) => typeof value === 'number');
  if (steps === undefined) return node;
  const share = reducedSteps(steps, reductions) / steps;
  const fewer = mapped(inputs, STEP_INPUTS, (value) => reducedSteps(value, reductions));
  // Segments of one sampling keep their shares; an end far beyond the last step means "to the end".
  const segments = (step: number) => (step > steps ? step : Math.round(step * share));
  return { ...node, inputs: mapped(fewer, ['start_at_step', 'end_at_step'], segments) };
}

function adjustedNode(node: GraphNode, { adjusted = [] }: Adaptation): GraphNode {
  const inputs = adjusted.reduce(
    (changed, adjustment) => mapped(changed, [adjustment.parameter], (value) => adjustedValue(value, adjustment)),
    node.inputs,
  );
  return { ...node, inputs };
}

function mapped(
  inputs: GraphNode['inputs'],
  ...[names, change]: [readonly string[], (value: number) => number]
): GraphNode['inputs'] {
  const changed = names.flatMap((name) => {
    const value = inputs[name];
    return typeof value === 'number' ? [[name, change(value)] as const] : [];
  });
  return { ...inputs, ...Object.fromEntries(changed) };
}

/**
 * The batch stays whole and `LatentFromBatch` takes the part out of it: ComfyUI then draws for each picture the noise that
 * it has in the whole batch (comfy/sample.py, `prepare_noise` with `batch_index`), so that the parts are its pictures.
 */
function withPart(graph: ApiGraph, { parts: [part] }: Adaptation): ApiGraph {
  const source = Object.entries(graph).find(([, node]) => isEmptyLatent(node))?.[0];
  if (part === undefined || source === undefined) return graph;
  const id = `${source}_part`;
  const linked = Object.entries(graph).map(([nodeId, node]): [string, GraphNode] => {
    const inputs = Object.entries(node.inputs).map(([name, value]): [string, unknown] => [
      name,
      isLink(value) && value[0] === source ? [id, value[1]] : value,
    ]);
    return [nodeId, { ...node, inputs: Object.fromEntries(inputs) }];
  });
  const taken: GraphNode = {
    class_type: 'LatentFromBatch',
    inputs: { samples: [source, 0], batch_index: part.first, length: part.count },
  };
  return { ...Object.fromEntries(linked), [id]: taken };
}

function isEmptyLatent({ class_type: type, inputs }: GraphNode): boolean {
  return EMPTY_LATENT.test(type) && typeof inputs['batch_size'] === 'number';
}

function isParameter(entry: [string, unknown]): entry is [string, number | string | boolean] {
  return ['number', 'string', 'boolean'].includes(typeof entry[1]);
}
