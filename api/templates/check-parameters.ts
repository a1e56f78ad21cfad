import { aliasOf } from '../../workflows/domain/aliases.js';
import { closestNames } from '../../workflows/domain/closest-names.js';
import type { Correction } from '../../workflows/domain/correct-graph.js';
import type { ProblemPlace } from '../problem-error.js';
import { givenInstead } from '../../infra/runtime/kind-of-value.js';
import { MAX_PLACES, pointerOf } from '../schemas/problem-places.js';
import { parameterTypeOf } from './parameter-types.js';
import type { ParameterValue } from './parameter-types.js';
import type { ParameterSpec } from './template-manifest.js';

export interface CheckedParameters {
  /** What was given, in the order of the template; defaults are not filled in. */
  readonly values: Readonly<Record<string, ParameterValue>>;
  /** Values that were given in another spelling. */
  readonly corrections: readonly Correction[];
  readonly places: readonly ProblemPlace[];
}

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
    const type = parameterTypeOf(spec);
    const parsed = type.schema(spec).safeParse(value);
    if (parsed.success) values[name] = parsed.data;
    else places.push(placeOf(name, spec, `must be ${type.words(spec)}${givenInstead(value, type.kind)}`));
  }
  return { values, corrections, places: [...places, ...unknownNames(specs, given)] };
}

function placeOf(name: string, spec: ParameterSpec, message: string): ProblemPlace {
  return { pointer: `/${name}`, message: `${name} ${message}`, allowed: parameterTypeOf(spec).allowed(spec) };
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
