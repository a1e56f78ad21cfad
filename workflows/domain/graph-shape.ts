import { isLink } from './graph.js';
import type { ApiGraph } from './graph.js';
import { breachOfGraph } from './graph-breach.js';
import type { GraphBreach } from './graph-breach.js';

/**
 * Nodes in the longest chain of links. ComfyUI validates a graph by recursion over its links, and Python gives up at
 * 1,000 frames; the longest chains of people, LoRA behind LoRA and sampler behind sampler, have a few dozen.
 */
export const MAX_CHAIN_NODES = 200;
/** B2, API4: nodes that save files. */
export const MAX_SAVE_NODES = 20;

const MAX_NAMED = 10;

/** What no graph may be, whoever brings it: circular, too deep, or with too many results. */
export function shapeBreaches(graph: ApiGraph): readonly GraphBreach[] {
  const sources = sourcesOf(graph);
  const ordered = orderedFrom(sources);
  const circle = orderedBack(sources, ordered);
  const saving = Object.entries(graph).filter(isSaving);
  return [
    ...(circle.length > 0 ? [breachOfGraph(circular(circle, graph))] : []),
    ...tooDeep(ordered, sources),
    ...(saving.length > MAX_SAVE_NODES
      ? [breachOfGraph(`has ${saving.length} nodes that save files, but may have ${MAX_SAVE_NODES}`)]
      : []),
  ];
}

type Sources = ReadonlyMap<string, ReadonlySet<string>>;

/** The nodes that feed each node; links to nowhere are judged elsewhere. */
function sourcesOf(graph: ApiGraph): Sources {
  return new Map(
    Object.entries(graph).map(([id, { inputs }]) => {
      const links = Object.values(inputs).filter(isLink);
      return [id, new Set(links.map(([source]) => source).filter((source) => Object.hasOwn(graph, source)))];
    }),
  );
}

/** Every node behind all that feed it; nodes of a circle, and what comes after them, are left out. */
function orderedFrom(sources: Sources): readonly string[] {
  const missing = new Map([...sources].map(([id, feeding]) => [id, feeding.size]));
  const users = new Map<string, string[]>();
  for (const [id, feeding] of sources)
    for (const source of feeding) users.set(source, [...(users.get(source) ?? []), id]);
  const ordered = [...missing].filter(([, count]) => count === 0).map(([id]) => id);
  for (const id of ordered) {
    for (const user of users.get(id) ?? []) {
      const left = (missing.get(user) ?? 0) - 1;
      missing.set(user, left);
      if (left === 0) ordered.push(user);
    }
  }
  return ordered;
}

/** Of the nodes that cannot be ordered, those that also feed one another: the circles and what lies between them. */
function orderedBack(sources: Sources, ordered: readonly string[]): readonly string[] {
  const done = new Set(ordered);
  const left = [...sources.keys()].filter((id) => !done.has(id));
  const reversed = new Map(left.map((id) => [id, new Set(left.filter((user) => sources.get(user)?.has(id) === true))]));
  const after = new Set(orderedFrom(reversed));
  return left.filter((id) => !after.has(id));
}

function circular(circle: readonly string[], graph: ApiGraph): string {
  const named = circle.slice(0, MAX_NAMED).map((id) => `${id} (${graph[id]?.class_type ?? ''})`);
  const more = circle.length > MAX_NAMED ? ` and ${circle.length - MAX_NAMED} more` : '';
  return `is linked in a circle through nodes ${named.join(', ')}${more}`;
}

function tooDeep(ordered: readonly string[], sources: Sources): readonly GraphBreach[] {
  const chain = new Map<string, number>();
  for (const id of ordered) {
    const before = [...(sources.get(id) ?? [])].map((source) => chain.get(source) ?? 0);
    chain.set(id, Math.max(0, ...before) + 1);
  }
  const [deepest] = [...chain].sort(([, a], [, b]) => b - a);
  if (deepest === undefined || deepest[1] <= MAX_CHAIN_NODES) return [];
  const [id, nodes] = deepest;
  return [
    breachOfGraph(`has a chain of ${nodes} linked nodes that ends at node ${id}, but may have ${MAX_CHAIN_NODES}`),
  ];
}

/** As far as a graph alone says so. */
function isSaving([, { class_type: classType, inputs }]: [string, ApiGraph[string]]): boolean {
  return Object.hasOwn(inputs, 'filename_prefix') || /^save/i.test(classType);
}
