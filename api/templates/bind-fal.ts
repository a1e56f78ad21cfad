import type { NoFalRequest } from '../../workflows/contracts/fal.js';
import type { ParameterValue } from './check-parameters.js';
import type { FalMapping } from './template-manifest.js';
import type { Template } from './template.js';

/** What goes to the model on fal.ai, and what of the request does not. */
export interface BoundFal {
  readonly modelId: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly usd: number;
  readonly unmapped: readonly string[];
  readonly leftOut: readonly string[];
}

type Values = Readonly<Record<string, ParameterValue>>;

/** The same request for fal.ai, or why there is none. `given` is what the caller has chosen, `asked` all of it. */
export function bindFal(
  { name, manifest }: Template,
  { asked, given }: { readonly asked: Values; readonly given: Values },
): BoundFal | NoFalRequest {
  const { fal } = manifest;
  if (fal === undefined) return { reason: `the template ${name} has no counterpart there` };
  const tooMuch = beyondLimits(fal, asked);
  if (tooMuch !== null) return { reason: tooMuch };
  const mapped = Object.values(fal.input).flatMap((from) => ('parameter' in from ? [from.parameter] : []));
  const unmapped = Object.keys(asked).filter((parameter) => !mapped.includes(parameter));
  const count = manifest.expected.count === null ? 1 : asked[manifest.expected.count];
  return {
    modelId: fal.model,
    input: inputOf(fal, asked),
    usd: fal.usdPerOutput * (typeof count === 'number' ? count : 1),
    unmapped,
    leftOut: unmapped.filter((parameter) => Object.hasOwn(given, parameter)),
  };
}

/** Nothing is made smaller to fit: the caller has asked for it. */
function beyondLimits({ model, input }: FalMapping, asked: Values): string | null {
  for (const from of Object.values(input)) {
    if (!('parameter' in from)) continue;
    const { parameter, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = from;
    const value = asked[parameter];
    if (typeof value !== 'number' || (value >= min && value <= max)) continue;
    return `${model} takes ${parameter} from ${min} to ${max}, and ${value} is asked for`;
  }
  return null;
}

function inputOf({ input }: FalMapping, asked: Values): Readonly<Record<string, unknown>> {
  const built: Record<string, unknown> = {};
  for (const [field, from] of Object.entries(input)) {
    const value = 'parameter' in from ? asked[from.parameter] : from.value;
    if (value !== undefined) setAt(built, field.split('.'), value);
  }
  return built;
}

function setAt(target: Record<string, unknown>, ...[path, value]: [readonly string[], unknown]): void {
  const [name = '', ...rest] = path;
  if (rest.length === 0) {
    target[name] = value;
    return;
  }
  const inner = (target[name] ?? {}) as Record<string, unknown>; // made here, by an earlier field
  target[name] = inner;
  setAt(inner, rest, value);
}
