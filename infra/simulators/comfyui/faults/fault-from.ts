import { isRecord } from '../is-record.js';
import { FAULT_KINDS, factsOf, isFaultKind, OOM_TEXTS } from './fault-kinds.js';
import type { Fault, FaultField, FaultKind } from './fault-kinds.js';

/** What a field must be, as a check and in words. */
type Rule = readonly [must: string, holds: (value: unknown) => boolean];

const SOME_TEXT: Rule = ['a text that is not empty', isName];
const SOME_MS: Rule = ['a number of milliseconds from 0 to 3600000', between(0, 3_600_000)];

const RULES: Readonly<Record<FaultField | 'count', Rule>> = {
  nodeType: ['the name of a class, or a list of names', isNameOrNames],
  promptId: SOME_TEXT,
  atStep: ['a whole number of at least 1', isCount],
  count: ['a number of at least 1', between(1, Infinity)],
  factor: ['a number above 0', (value) => typeof value === 'number' && value > 0],
  text: [`one of: ${OOM_TEXTS.join(', ')}`, (value) => OOM_TEXTS.some((each) => each === value)],
  exceptionType: SOME_TEXT,
  exceptionMessage: ['a text', (value) => typeof value === 'string'],
  afterPrompt: ['true or false', (value) => typeof value === 'boolean'],
  returnsAfterMs: SOME_MS,
  afterMs: SOME_MS,
  delayMs: SOME_MS,
  durationMs: SOME_MS,
  frames: ['a whole number from 1 to 100000', (value) => isCount(value) && value <= 100_000],
  gib: ['a number of GiB above 0', (value) => typeof value === 'number' && value > 0],
  filename: SOME_TEXT,
  path: ['a path that begins with /', (value) => typeof value === 'string' && value.startsWith('/')],
  method: ['GET, POST or DELETE', (value) => ['GET', 'POST', 'DELETE'].some((each) => each === value)],
};

/** The fault a request body describes, or the sentence that says what is wrong with it. */
export function faultFrom(body: unknown): Fault | string {
  if (!isRecord(body)) return 'The body must be a JSON object';
  const { kind, ...given } = body;
  if (!isFaultKind(kind)) return `kind must be one of: ${Object.keys(FAULT_KINDS).join(', ')}`;
  const complaint = complaintAbout(kind, given);
  if (complaint !== null) return complaint;
  // The parse boundary: every field has been checked.
  return { kind, count: usualCount(kind, given), ...factsOf(kind).defaults, ...given };
}

function complaintAbout(kind: FaultKind, given: Readonly<Record<string, unknown>>): string | null {
  const { fields, required = [] } = factsOf(kind);
  for (const [name, value] of Object.entries(given)) {
    const field = fields.find((each) => each === name);
    if (field === undefined) return `${kind} has no field ${name}; it has: ${fields.join(', ')}`;
    const [must, holds] = RULES[field];
    if (!holds(value)) return `${field} must be ${must}`;
  }
  const missing = required.find((field) => given[field] === undefined);
  return missing === undefined ? null : `${kind} needs ${missing}: it must be ${RULES[missing][0]}`;
}

/** Their duration is that of a single firing. */
const LASTING_KINDS: readonly FaultKind[] = ['ws_stall', 'outage'];

/** Once, but what has a duration as often as it can. */
function usualCount(kind: FaultKind, { durationMs }: Readonly<Record<string, unknown>>): number {
  return kind === 'slow' || (durationMs !== undefined && !LASTING_KINDS.includes(kind)) ? Infinity : 1;
}

function between(min: number, max: number): (value: unknown) => boolean {
  return (value) => typeof value === 'number' && value >= min && value <= max;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1;
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isNameOrNames(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 && value.every(isName) : isName(value);
}
