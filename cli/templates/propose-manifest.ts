import { isLink } from '../../workflows/domain/graph.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { CliError } from './cli-error.js';
import { proposedModels } from './proposed-models.js';
import { proposedParameters } from './proposed-parameters.js';
import type { ProposedParameters } from './proposed-parameters.js';

/** Classes that leave files; a preview alone is no result. */
const SAVES = /^(Save|VHS_VideoCombine$|.*SaveImage)/;
const SAVES_VIDEO = /^(SaveVideo|SaveWEBM|VHS_VideoCombine)$/;

/** A `template.json` for somebody's graph: what people usually choose becomes a parameter, with the graph's value as default. */
export function proposeManifest(name: string, graph: ApiGraph): Readonly<Record<string, unknown>> {
  const outputs = Object.keys(graph).filter((nodeId) => SAVES.test(graph[nodeId]?.class_type ?? ''));
  if (outputs.length === 0) {
    throw new CliError('The graph has no node that saves; end it with one such as SaveImage or SaveVideo');
  }
  const parameters = proposedParameters(graph);
  return {
    title: titleOf(name),
    description: `${titleOf(name)}, imported from ComfyUI.`,
    parameters,
    outputs,
    pool: 'default',
    expected: expectedOf(
      parameters,
      outputs.map((nodeId) => graph[nodeId]?.class_type ?? ''),
    ),
    flatImages: 'flag',
    limits: {},
    models: proposedModels(graph, parameters),
    customNodes: [],
    example: exampleOf(graph, parameters),
  };
}

function titleOf(name: string): string {
  const words = name.replaceAll('-', ' ');
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}

/** Sizes are only asked for where they come from parameters; a graph with several outputs may make different ones. */
function expectedOf(parameters: ProposedParameters, savers: readonly string[]): Readonly<Record<string, unknown>> {
  const named = (parameter: string) => (Object.hasOwn(parameters, parameter) ? parameter : null);
  const [only] = savers;
  if (only === undefined || savers.length > 1) return { width: null, height: null, count: null };
  if (only.startsWith('SaveAudio')) return { kind: 'audio', width: null, height: null, count: null };
  const size = { width: named('width'), height: named('height') };
  if (!SAVES_VIDEO.test(only)) return { ...size, count: named('batch_size') };
  const length = { ...(named('frames') && { frames: 'frames' }), ...(named('fps') && { fps: 'fps' }) };
  return { kind: 'video', ...size, count: null, ...length };
}

/** What the graph itself says, so that the first request is known to work. */
function exampleOf(graph: ApiGraph, parameters: ProposedParameters): Readonly<Record<string, unknown>> {
  const required = Object.entries(parameters).filter(([, { required: isRequired }]) => isRequired === true);
  const entries = required.map(([name, { type, bindings }]) => {
    const [binding] = bindings;
    const value = binding === undefined ? undefined : graph[binding.node]?.inputs[binding.input];
    if (type !== 'string') return [name, 'https://example.com/input'] as const;
    return [
      name,
      typeof value === 'string' && value !== '' && !isLink(value) ? value : 'a lighthouse at dusk',
    ] as const;
  });
  return Object.fromEntries(entries);
}
