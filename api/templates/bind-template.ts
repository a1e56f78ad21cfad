import { randomInt } from 'node:crypto';
import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import { inputValue } from '../../workflows/domain/input-files.js';
import { vramNeeded } from '../../workflows/domain/vram.js';
import { bindValue } from '../../workflows/domain/graph.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import type { ParameterValue } from './parameter-types.js';
import type { ResolvedInput } from '../uploads/resolve-inputs.js';
import type { Measure, ParameterSpec, TemplateManifest } from './template-manifest.js';
import type { Template } from './template.js';

/** A template with every parameter decided. */
export interface BoundTemplate {
  readonly graph: ApiGraph;
  /** Every parameter with the value that is rendered: given, default or random. */
  readonly asked: Readonly<Record<string, ParameterValue>>;
  readonly expected: ExpectedOutputs;
  /** GB of VRAM that it needs; `null` where the template does not say. */
  readonly vramGb: number | null;
}

export interface TemplateValues {
  /** Of every parameter that was given; a file by the id of its upload. */
  readonly given: Readonly<Record<string, ParameterValue>>;
  /** By name of the parameter. */
  readonly files: ReadonlyMap<string, ResolvedInput>;
}

/** Fills in defaults and random seeds and writes all values into the graph. */
export function bindTemplate({ manifest, graph }: Template, { given, files }: TemplateValues): BoundTemplate {
  const entries = Object.entries(manifest.parameters).flatMap(([name, spec]) => {
    const value = given[name] ?? spec.default ?? randomOf(spec);
    return value === undefined ? [] : [[name, value] as const];
  });
  const asked: Readonly<Record<string, ParameterValue>> = Object.fromEntries(entries);
  const bound = entries.reduce<ApiGraph>((current, [name, value]) => {
    const file = files.get(name);
    const written = file === undefined ? value : inputValue(file.objectKey);
    return bindValue(current, manifest.parameters[name]?.bindings ?? [], written);
  }, graph);
  const { kind, width, height, count, noFaceIfUnchanged = '' } = manifest.expected;
  const face = files.get(noFaceIfUnchanged);
  const lengths = { ...asked, ...lengthsOf(files) };
  return {
    graph: bound,
    asked,
    expected: {
      kind,
      widthPx: measured(lengths, width),
      heightPx: measured(lengths, height),
      count: numberOf(asked, count),
      ...lengthOf(manifest.expected, lengths),
      ...(isSoundAsked(manifest.expected, { ...asked, ...soundsOf(files) }) && { hasSound: true as const }),
      ...(face !== undefined && { noFaceIfUnchanged: face.objectKey }),
      flatImages: manifest.flatImages,
      ...(manifest.noisyImages === 'fail' && { noisyImages: 'fail' as const }),
    },
    vramGb: vramNeeded(manifest.vram ?? [], lengths),
  };
}

/** A picture whose template names no length is a still. */
function lengthOf(
  { kind, frames, seconds, fps }: TemplateManifest['expected'],
  asked: BoundTemplate['asked'],
): Pick<ExpectedOutputs, 'frames' | 'durationSeconds'> {
  const rate = typeof fps === 'string' ? numberOf(asked, fps) : (fps ?? null);
  const length = measured(asked, seconds ?? null);
  const pictures = numberOf(asked, frames ?? null);
  if (pictures !== null) return { frames: pictures, durationSeconds: rate === null ? null : pictures / rate };
  if (length === null) return { frames: kind === 'image' ? 1 : null, durationSeconds: null };
  return { frames: rate === null ? null : Math.round(length * rate), durationSeconds: length };
}

/** crypto's randomInt spans 2^48 at most, so a seed of 53 bits is put together from two draws. */
function randomOf(spec: ParameterSpec): number | undefined {
  if (spec.type !== 'integer' || spec.random !== true) return undefined;
  const wide = randomInt(2 ** 26) * 2 ** 27 + randomInt(2 ** 27);
  return spec.min === 0 && spec.max === Number.MAX_SAFE_INTEGER ? wide : spec.min + (wide % (spec.max - spec.min + 1));
}

/** What a manifest can name of the files: `image.width` and so on. */
function lengthsOf(files: TemplateValues['files']): Readonly<Record<string, number>> {
  const entries = [...files].flatMap(([name, { widthPx, heightPx, durationSeconds }]) => [
    [`${name}.width`, widthPx] as const,
    [`${name}.height`, heightPx] as const,
    [`${name}.seconds`, durationSeconds] as const,
  ]);
  return Object.fromEntries(entries.flatMap(([name, length]) => (length === null ? [] : [[name, length] as const])));
}

/** Of a file that was uploaded before that was looked at, nothing is known and nothing asked. */
function soundsOf(files: TemplateValues['files']): Readonly<Record<string, boolean>> {
  return Object.fromEntries([...files].map(([name, { hasSound }]) => [`${name}.sound`, hasSound === true]));
}

function isSoundAsked({ sound }: TemplateManifest['expected'], asked: BoundTemplate['asked']): boolean {
  return typeof sound === 'string' ? asked[sound] === true : sound === true;
}

/** `null` where one of its parts is not known. */
function measured(lengths: Readonly<Record<string, ParameterValue>>, measure: Measure | null): number | null {
  if (measure === null || typeof measure === 'string') return numberOf(lengths, measure);
  const parts = measure.sum.map((name) => numberOf(lengths, name));
  const sum = parts.reduce<number | null>((total, part) => (total === null || part === null ? null : total + part), 0);
  if (sum === null) return null;
  const { times = 1, multipleOf } = measure;
  return multipleOf === undefined ? sum * times : Math.floor((sum * times) / multipleOf) * multipleOf;
}

function numberOf(asked: Readonly<Record<string, ParameterValue>>, name: string | null): number | null {
  const value = name === null ? null : asked[name];
  return typeof value === 'number' ? value : null;
}
