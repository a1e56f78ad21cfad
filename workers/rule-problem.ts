import type { z } from 'zod';

const SHAPE = 'a file of rules begins with "rules:", and below it each rule begins with "- name:"';

/** What is wrong with a file of rules, with the name of the rule where it has one: its author wrote no `rules.0`. */
export function problemInWords(content: unknown, issue: z.core.$ZodIssue): string {
  const [, index, ...place] = issue.path;
  if (content === null) return `the file is empty; ${SHAPE}`;
  if (issue.path.length < 2 || typeof index !== 'number') return `${SHAPE}, but ${fault(issue, [...issue.path])}`;
  const rule = nameOfRule(content, index);
  return `${rule}: ${fault(issue, place)}`;
}

function fault(issue: z.core.$ZodIssue, place: readonly PropertyKey[]): string {
  const name = place.map((part) => (typeof part === 'number' ? `number ${part + 1}` : String(part))).join(', ');
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => `"${key}"`).join(', ');
    return `${name === '' ? '' : `${name}: `}${keys} is not known here`;
  }
  return `${name === '' ? 'it' : name} ${issue.message}`;
}

function nameOfRule(content: unknown, index: number): string {
  const rules = recordOf(content)?.['rules'];
  const name = Array.isArray(rules) ? recordOf(rules[index])?.['name'] : undefined;
  return typeof name === 'string' ? `rule ${name}` : `rule number ${index + 1}`;
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : null;
}
