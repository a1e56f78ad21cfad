import { aliasOf } from './aliases.js';
import type { ApiGraph } from './graph.js';

/** A value that was written in another spelling than it is known by; `node` is `null` for a parameter of a template. */
export interface Correction {
  readonly node: string | null;
  readonly title: string | null;
  readonly input: string;
  readonly from: string;
  readonly to: string;
}

/** The values that an input of a class offers; `null` for one that offers no list, or is not known. */
export type OptionsOf = (classType: string, input: string) => readonly string[] | null;

/** The graph with every misspelt value written as this ComfyUI knows it, and what was changed. */
export function correctGraph(
  graph: ApiGraph,
  optionsOf: OptionsOf,
): { readonly graph: ApiGraph; readonly corrections: readonly Correction[] } {
  const corrections = Object.entries(graph).flatMap(([node, { class_type: classType, inputs, _meta }]) =>
    Object.entries(inputs).flatMap(([input, value]) => {
      if (typeof value !== 'string') return [];
      const to = aliasOf(input, value, optionsOf(classType, input) ?? []);
      return to === null ? [] : [{ node, title: _meta?.title ?? null, input, from: value, to }];
    }),
  );
  const corrected = corrections.reduce<ApiGraph>((current, { node, input, to }) => {
    const before = current[node];
    return before === undefined
      ? current
      : { ...current, [node]: { ...before, inputs: { ...before.inputs, [input]: to } } };
  }, graph);
  return { graph: corrected, corrections };
}
