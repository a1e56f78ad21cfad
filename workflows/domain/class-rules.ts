import { DENIED_CLASSES } from './denied-classes.js';
import type { ApiGraph } from './graph.js';
import { breachOf } from './graph-breach.js';
import type { GraphBreach } from './graph-breach.js';

/** What operators have added to the built-in list, and taken out of it; the latter wins. */
export interface ClassLists {
  readonly denied: readonly string[];
  readonly allowed: readonly string[];
}

/** What `/object_info` says of a class that the rules look at. */
export interface ClassFacts {
  readonly category: string;
  /** One of ComfyUI's partner nodes: it spends somebody's money. */
  readonly isPartnerNode: boolean;
  /** Inputs whose value is a file that a person uploads. */
  readonly uploadInputs: readonly string[];
}

/** Nodes whose class is denied by its name. */
export function classBreaches(graph: ApiGraph, { denied, allowed }: ClassLists): readonly GraphBreach[] {
  const rules = [{ why: 'was denied by the operators of this service', names: denied }, ...DENIED_CLASSES];
  return Object.entries(graph).flatMap(([nodeId, node]) => {
    const classType = node.class_type;
    if (isNamedBy(allowed, classType)) return [];
    const rule = rules.find(({ names }) => isNamedBy(names, classType));
    return rule === undefined ? [] : [breachOf(nodeId, node, { message: inWords(rule.why) })];
  });
}

/** Nodes whose class is denied by what a ComfyUI says of it. */
export function categoryBreaches(
  graph: ApiGraph,
  ...[factsOf, allowed]: [(classType: string) => ClassFacts | null, readonly string[]]
): readonly GraphBreach[] {
  return Object.entries(graph).flatMap(([nodeId, node]) => {
    const facts = factsOf(node.class_type);
    if (facts === null || isNamedBy(allowed, node.class_type)) return [];
    const why = whyDenied(facts);
    return why === null ? [] : [breachOf(nodeId, node, { message: inWords(why) })];
  });
}

/** True when one of the names, in which `*` stands for any text, is that of the class. */
export function isNamedBy(names: readonly string[], classType: string): boolean {
  const name = bare(classType);
  return names.some((pattern) => matches(bare(pattern), name));
}

function whyDenied({ category, isPartnerNode }: ClassFacts): string | null {
  const name = category.toLowerCase();
  const rule = DENIED_CLASSES.find(
    ({ below, in: only }) =>
      only.includes(name) || below.some((parent) => name === parent || name.startsWith(`${parent}/`)),
  );
  if (rule !== undefined) return rule.why;
  return isPartnerNode ? 'calls a service on the internet that may cost money' : null;
}

function inWords(why: string): string {
  return `this class ${why}, and graphs may not use it; the operators of this service can allow it by ALLOWED_NODE_CLASSES`;
}

function bare(name: string): string {
  return name.toLowerCase().replaceAll(/[\s_-]/g, '');
}

/** Without a regular expression: names are the caller's text, patterns the operators'. */
function matches(pattern: string, name: string): boolean {
  const [start = '', ...parts] = pattern.split('*');
  const end = parts.pop();
  if (end === undefined) return name === start;
  if (!name.startsWith(start) || name.length < start.length + end.length || !name.endsWith(end)) return false;
  let rest = name.slice(start.length, name.length - end.length);
  for (const part of parts) {
    const at = rest.indexOf(part);
    if (at < 0) return false;
    rest = rest.slice(at + part.length);
  }
  return true;
}
