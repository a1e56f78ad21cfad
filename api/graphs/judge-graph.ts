import type { GraphRules } from '../../workflows/contracts/generation.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import { breachInWords } from '../../workflows/domain/graph-breach.js';
import type { GraphBreach } from '../../workflows/domain/graph-breach.js';
import { graphBreaches } from '../../workflows/domain/graph-rules.js';
import { ProblemError } from '../problem-error.js';
import type { ProblemPlace } from '../problem-error.js';
import { MAX_PLACES, pointerOf } from '../schemas/problem-places.js';
import type { GraphPolicy } from './graph-policy.js';

/** Refuses every graph where only templates are taken. */
export function refuseAnyGraph({ mode }: GraphPolicy): void {
  if (mode !== 'templates') return;
  throw new ProblemError('graphs_disabled', 'GRAPH_MODE is templates: this service renders its templates only.', {
    places: [{ pointer: '/graph', message: 'is not taken here; use a template' }],
  });
}

/** Refuses a graph that breaks the rules, naming every one; answers what is left to judge where it is submitted. */
export function judgeGraph(graph: ApiGraph, policy: GraphPolicy): GraphRules | null {
  refuseAnyGraph(policy);
  const breaches = graphBreaches(graph, policy.mode, policy);
  const [first] = breaches;
  if (first !== undefined) {
    const more = breaches.length > 1 ? `; and ${breaches.length - 1} more, listed in errors` : '';
    const places = breaches.slice(0, MAX_PLACES).map(placeOf);
    throw new ProblemError('graph_refused', `${capitalised(breachInWords(first))}${more}.`, { places });
  }
  return policy.mode === 'graph-trusted' ? null : { allowedClasses: policy.allowed };
}

function placeOf(breach: GraphBreach): ProblemPlace {
  const { nodeId, input } = breach;
  if (nodeId === null) return { pointer: '/graph', message: breachInWords(breach) };
  const place = input === null ? ['class_type'] : ['inputs', input];
  return { pointer: pointerOf(['graph', nodeId, ...place]), nodeId, message: breachInWords(breach) };
}

function capitalised(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}
