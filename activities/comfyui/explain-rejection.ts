import { closestNames } from '../../workflows/domain/closest-names.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { PromptRejectedError } from './errors.js';
import type { NodeFault } from './errors.js';
import type { NodeCatalogue } from './node-catalogue.js';

/** How ComfyUI says that it lacks a class, before and since mid 2026; it names the first one only. */
const MISSING_CLASS = ['invalid_prompt', 'missing_node_type'];

/**
 * ComfyUI's refusal in words that a person can act on: each node with its title, each value that is not offered with the
 * closest that are, and every missing class, not the first one alone.
 */
export function explainRejection(
  error: PromptRejectedError,
  { graph, catalogue }: { readonly graph: ApiGraph; readonly catalogue: NodeCatalogue },
): PromptRejectedError {
  const missing = MISSING_CLASS.includes(error.type) ? missingClasses(graph, catalogue) : [];
  const faults = [...missing, ...error.faults].map((fault) => ({
    ...fault,
    title: graph[fault.nodeId]?._meta?.title ?? null,
    closest: closestTo(fault, catalogue),
  }));
  return new PromptRejectedError({ ...error.said, details: missing.length > 0 ? '' : error.said.details }, faults);
}

function missingClasses(graph: ApiGraph, catalogue: NodeCatalogue): readonly NodeFault[] {
  return Object.entries(graph)
    .filter(([, { class_type: classType }]) => !catalogue.classes.has(classType))
    .map(([nodeId, { class_type: nodeType }]) => ({
      ...{ nodeId, nodeType, type: 'missing_node_type', inputName: null, receivedValue: nodeType },
      ...{ message: 'This ComfyUI has no such node class', details: nodeType },
    }));
}

function closestTo(
  { type, nodeType, inputName, receivedValue }: NodeFault,
  catalogue: NodeCatalogue,
): readonly string[] {
  if (typeof receivedValue !== 'string') return [];
  if (type === 'missing_node_type') return closestNames(receivedValue, catalogue.classes);
  if (type !== 'value_not_in_list' || inputName === null) return [];
  return closestNames(receivedValue, catalogue.optionsOf(nodeType, inputName) ?? []);
}
