import type { z } from 'zod';
import { givenInstead } from './kind-of-value.js';
import type { JsonKind } from './kind-of-value.js';

const KINDS: Readonly<Record<string, JsonKind>> = {
  string: 'a text',
  number: 'a number',
  int: 'a number',
  boolean: 'true or false',
  array: 'a list',
  record: 'an object',
  object: 'an object',
};

/** zod's findings in this service's words, as the `error` of a `safeParse`; a message in the schema itself goes first. */
export const issueWords: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return wrongKind(issue.expected, issue.input);
    case 'too_small':
      return issue.origin === 'string' ? atLeastCharacters(Number(issue.minimum)) : `must be at least ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'string'
        ? `must have at most ${issue.maximum} characters`
        : `must be at most ${issue.maximum}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`;
    case 'invalid_key':
      return `has a name that ${issue.issues[0]?.message ?? 'is not valid'}`;
    default:
      return 'is not valid';
  }
};

function wrongKind(expected: string, input: unknown): string {
  const wanted = KINDS[expected];
  if (wanted === undefined) return 'is not valid';
  return input === undefined ? `is required and must be ${wanted}` : `must be ${wanted}${givenInstead(input, wanted)}`;
}

function atLeastCharacters(minimum: number): string {
  return minimum === 1 ? 'must not be empty' : `must have at least ${minimum} characters`;
}
