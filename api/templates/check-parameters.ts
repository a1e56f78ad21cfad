import { z } from 'zod';
import { aliasOf } from '../../workflows/domain/aliases.js';
import { closestNames } from '../../workflows/domain/closest-names.js';
import type { Correction } from '../../workflows/domain/correct-graph.js';
import type { ProblemPlace } from '../problem-error.js';
import { givenInstead } from '../schemas/kind-of-value.js';
import type { JsonKind } from '../schemas/kind-of-value.js';
import { MAX_PLACES, pointerOf } from '../schemas/problem-places.js';
import { wholeNumberWords } from '../schemas/whole-number.js';
import { INPUT_REFERENCE, INPUT_WORDS, MAX_REFERENCE_CHARS } from '../schemas/generation-request.js';
import type { ParameterSpec } from './template-manifest.js';

export type ParameterValue = string | number | boolean;

export interface CheckedParameters {
  /** What was given, in the order of the template; defaults are not filled in. */
  readonly values: Readonly<Record<string, ParameterValue>>;
  /** Values that were given in another spelling. */
  readonly corrections: readonly Correction[];
  readonly places: readonly ProblemPlace[];
}

const KINDS = {
  string: 'a text',
  integer: 'a number',
  number: 'a number',
  boolean: 'true or false',
  enum: 'a text',
  image: 'a text',
  mask: 'a text',
  video: 'a text',
  audio: 'a text',
} as const satisfies Record<ParameterSpec['type'], JsonKind>;

/** Up to here an unknown name is answered with all names of the template. */
const MAX_LISTED_NAMES = 20;

type Specs = Readonly<Record<string, ParameterSpec>>;

/** Everything that is wrong with the parameters at once; pointers begin at the parameters (`/width`). */
export function checkParameters(specs: Specs, given: Readonly<Record<string, unknown>>): CheckedParameters {
  const values: Record<string, ParameterValue> = {};
  const corrections: Correction[] = [];
  const places: ProblemPlace[] = [];
  for (const [name, spec] of Object.entries(specs)) {
    const said = Object.hasOwn(given, name) ? given[name] : undefined;
    const value = spec.type === 'enum' && typeof said === 'string' ? (aliasOf(name, said, spec.values) ?? said) : said;
    if (value !== said)
      corrections.push({ node: null, title: null, input: name, from: String(said), to: String(value) });
    if (value === undefined) {
      if (spec.required === true) places.push(placeOf(name, spec, 'is required'));
      continue;
    }
    const parsed = parameterSchema(spec).safeParse(value);
    if (parsed.success) values[name] = parsed.data;
    else places.push(placeOf(name, spec, `must be ${rangeOf(spec)}${givenInstead(value, KINDS[spec.type])}`));
  }
  return { values, corrections, places: [...places, ...unknownNames(specs, given)] };
}

/** The zod schema of one parameter. */
export function parameterSchema(spec: ParameterSpec): z.ZodType<ParameterValue> {
  switch (spec.type) {
    case 'string': {
      const text = z
        .string()
        .min(spec.minLength ?? 0)
        .max(spec.maxLength);
      return spec.pattern === undefined ? text : text.regex(new RegExp(spec.pattern, 'u'));
    }
    case 'integer': {
      const whole = z.int().min(spec.min).max(spec.max);
      const { multipleOf = 1, remainder = 0 } = spec;
      return whole.refine((value) => (value - remainder) % multipleOf === 0);
    }
    case 'number':
      return z.number().min(spec.min).max(spec.max);
    case 'boolean':
      return z.boolean();
    case 'enum':
      return z.enum(spec.values);
    case 'image':
    case 'mask':
    case 'video':
    case 'audio':
      return z.string().max(MAX_REFERENCE_CHARS).regex(INPUT_REFERENCE);
  }
}

function rangeOf(spec: ParameterSpec): string {
  switch (spec.type) {
    case 'string':
      return `a text of ${spec.minLength ?? 0} to ${spec.maxLength} characters${spec.pattern === undefined ? '' : ` that matches ${spec.pattern}`}`;
    case 'integer':
      return `${wholeNumberWords(spec.min, spec.max)}${stepWords(spec)}`;
    case 'number':
      return `a number from ${spec.min} to ${spec.max}`;
    case 'boolean':
      return 'true or false';
    case 'enum':
      return 'one of the allowed values';
    case 'image':
    case 'mask':
    case 'video':
    case 'audio':
      return INPUT_WORDS.replace('must be ', '');
  }
}

function stepWords({ multipleOf, remainder = 0 }: Extract<ParameterSpec, { type: 'integer' }>): string {
  if (multipleOf === undefined) return '';
  return ` that is a multiple of ${multipleOf}${remainder === 0 ? '' : ` plus ${remainder}`}`;
}

function placeOf(name: string, spec: ParameterSpec, message: string): ProblemPlace {
  const allowed = allowedBy(spec);
  return { pointer: `/${name}`, message: `${name} ${message}`, ...(allowed !== null && { allowed }) };
}

/** In a form that programs can use: a list of values, or the limits. */
function allowedBy(spec: ParameterSpec): unknown {
  switch (spec.type) {
    case 'string':
      return { minLength: spec.minLength ?? 0, maxLength: spec.maxLength, pattern: spec.pattern };
    case 'integer':
      return { min: spec.min, max: spec.max, multipleOf: spec.multipleOf, remainder: spec.remainder };
    case 'number':
      return { min: spec.min, max: spec.max };
    case 'boolean':
      return [true, false];
    case 'enum':
      return spec.values;
    case 'image':
    case 'mask':
    case 'video':
    case 'audio':
      return { maxPixels: spec.maxPixels, maxSeconds: spec.maxSeconds };
  }
}

function unknownNames(specs: Specs, given: Readonly<Record<string, unknown>>): readonly ProblemPlace[] {
  const known = Object.keys(specs);
  return Object.keys(given)
    .filter((name) => !Object.hasOwn(specs, name))
    .slice(0, MAX_PLACES)
    .map((name) => unknownName(name, known));
}

function unknownName(name: string, known: readonly string[]): ProblemPlace {
  const closest = closestNames(name, known);
  const hint = closest.length === 0 ? 'it has none' : `the closest are ${closest.join(', ')}`;
  return {
    pointer: pointerOf([name]),
    message: `is not a parameter of this template; ${hint}`,
    closest,
    ...(known.length <= MAX_LISTED_NAMES && { allowed: known }),
  };
}
