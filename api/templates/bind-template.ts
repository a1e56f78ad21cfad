import { randomInt } from 'node:crypto';
import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import { bindValue } from '../../workflows/domain/graph.js';
import type { ApiGraph } from '../../workflows/domain/graph.js';
import type { ParameterValue } from './check-parameters.js';
import type { ParameterSpec, TemplateManifest } from './template-manifest.js';
import type { Template } from './template.js';

/** A template with every parameter decided. */
export interface BoundTemplate {
  readonly graph: ApiGraph;
  /** Every parameter with the value that is rendered: given, default or random. */
  readonly asked: Readonly<Record<string, ParameterValue>>;
  readonly expected: ExpectedOutputs;
}

/** Fills in defaults and random seeds and writes all values into the graph. */
export function bindTemplate(
  { manifest, graph }: Template,
  given: Readonly<Record<string, ParameterValue>>,
): BoundTemplate {
  const entries = Object.entries(manifest.parameters).flatMap(([name, spec]) => {
    const value = given[name] ?? spec.default ?? randomOf(spec);
    return value === undefined ? [] : [[name, value] as const];
  });
  const asked: Readonly<Record<string, ParameterValue>> = Object.fromEntries(entries);
  const bound = entries.reduce<ApiGraph>(
    (current, [name, value]) => bindValue(current, manifest.parameters[name]?.bindings ?? [], value),
    graph,
  );
  const { kind, width, height, count } = manifest.expected;
  return {
    graph: bound,
    asked,
    expected: {
      kind,
      widthPx: numberOf(asked, width),
      heightPx: numberOf(asked, height),
      count: numberOf(asked, count),
      ...lengthOf(manifest.expected, asked),
      flatImages: manifest.flatImages,
    },
  };
}

/** A picture whose template names no length is a still. */
function lengthOf(
  { kind, frames, seconds, fps }: TemplateManifest['expected'],
  asked: BoundTemplate['asked'],
): Pick<ExpectedOutputs, 'frames' | 'durationSeconds'> {
  const rate = typeof fps === 'string' ? numberOf(asked, fps) : (fps ?? null);
  const length = numberOf(asked, seconds ?? null);
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

function numberOf(asked: Readonly<Record<string, ParameterValue>>, name: string | null): number | null {
  const value = name === null ? null : asked[name];
  return typeof value === 'number' ? value : null;
}
