import type { NoFalRequest } from '../../workflows/contracts/fal.js';
import { MAX_EMBEDDED_BYTES } from '../../activities/fal/embed-files.js';
import type { FalFile } from '../../activities/fal/embed-files.js';
import type { ResolvedInput } from '../uploads/resolve-inputs.js';
import type { ParameterValue } from './parameter-types.js';
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

interface FalValues {
  readonly asked: Values;
  /** What the caller has chosen of it. */
  readonly given: Values;
  /** By name of the parameter. */
  readonly files: ReadonlyMap<string, ResolvedInput>;
}

/** The same request for fal.ai, or why there is none. */
export function bindFal({ name, manifest }: Template, { asked, given, files }: FalValues): BoundFal | NoFalRequest {
  const { fal } = manifest;
  if (fal === undefined) return { reason: `the template ${name} has no counterpart there` };
  const tooMuch = beyondLimits(fal, asked) ?? tooLarge(files);
  if (tooMuch !== null) return { reason: tooMuch };
  const mapped = Object.values(fal.input).flatMap((from) => ('parameter' in from ? [from.parameter] : []));
  const unmapped = Object.keys(asked).filter((parameter) => !mapped.includes(parameter));
  const count = manifest.expected.count === null ? 1 : asked[manifest.expected.count];
  return {
    modelId: fal.model,
    input: inputOf(fal, asked, files),
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

function tooLarge(files: FalValues['files']): string | null {
  for (const [parameter, { bytes }] of files) {
    if (bytes > MAX_EMBEDDED_BYTES)
      return `${parameter} has ${bytes} bytes, and ${MAX_EMBEDDED_BYTES} can be sent there`;
  }
  return null;
}

function inputOf(
  { input }: FalMapping,
  ...[asked, files]: [Values, FalValues['files']]
): Readonly<Record<string, unknown>> {
  const built: Record<string, unknown> = {};
  for (const [field, from] of Object.entries(input)) {
    const file = 'parameter' in from ? files.get(from.parameter) : undefined;
    const given = 'parameter' in from ? asked[from.parameter] : from.value;
    const value = file === undefined ? given : falFile(file);
    if (value !== undefined) setAt(built, field.split('.'), value);
  }
  return built;
}

function falFile({ objectKey, mediaType }: ResolvedInput): FalFile {
  return { inputFile: objectKey, mediaType };
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
