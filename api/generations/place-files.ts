import { inputValue } from '../../workflows/domain/input-files.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { closestNames } from '../../workflows/domain/closest-names.js';
import type { ProblemPlace } from '../problem-error.js';
import { pointerOf } from '../schemas/problem-places.js';

/** Names that no node of the graph is given; each would be a picture that is never used. */
export function unusedNames(graph: ApiGraph, names: readonly string[]): readonly ProblemPlace[] {
  const values = Object.values(graph).flatMap(({ inputs }) => Object.values(inputs));
  const texts = new Set(values.filter((value) => typeof value === 'string'));
  return names
    .filter((name) => !texts.has(name))
    .map((name) => {
      const closest = closestNames(name, texts);
      return {
        pointer: pointerOf(['images', name]),
        message: `no input of the graph has the value "${name}"`,
        ...(closest.length > 0 && { closest }),
      };
    });
}

/** The graph with each name, wherever a node is given it, replaced by the file that was brought under it. */
export function placeFiles(graph: ApiGraph, objectKeys: ReadonlyMap<string, string>): ApiGraph {
  if (objectKeys.size === 0) return graph;
  const placed = (value: unknown) => {
    const objectKey = typeof value === 'string' ? objectKeys.get(value) : undefined;
    return objectKey === undefined ? value : inputValue(objectKey);
  };
  return Object.fromEntries(
    Object.entries(graph).map(([id, node]) => {
      const inputs = Object.entries(node.inputs).map(([name, value]) => [name, placed(value)] as const);
      return [id, { ...node, inputs: Object.fromEntries(inputs) }];
    }),
  );
}
