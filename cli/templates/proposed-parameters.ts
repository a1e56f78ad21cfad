import type { ApiGraph, GraphBinding } from '../../workflows/domain/graph.js';
import { modelInputsOf } from './proposed-models.js';
import { textsBehind } from './prompt-texts.js';

export interface ProposedParameter {
  readonly type: string;
  readonly required?: boolean;
  readonly bindings: readonly GraphBinding[];
  readonly [field: string]: unknown;
}
export type ProposedParameters = Readonly<Record<string, ProposedParameter>>;

interface Place extends GraphBinding {
  readonly classType: string;
  readonly value: unknown;
}

interface Rule {
  readonly parameter: string;
  readonly inputs: readonly string[];
  /** Only nodes of these classes; absent: of any. */
  readonly classes?: RegExp;
  readonly specOf: (value: unknown) => Readonly<Record<string, unknown>> | null;
}

const LATENT = /Latent|ToVideo/;
/** Names as this project's own templates use them; what comes first is listed first. */
const RULES: readonly Rule[] = [
  { parameter: 'image', inputs: ['image'], classes: /^LoadImage$/, specOf: file('image') },
  { parameter: 'mask', inputs: ['image'], classes: /^LoadImageMask$/, specOf: file('mask') },
  { parameter: 'video', inputs: ['file', 'video'], classes: /^(VHS_)?LoadVideo$/, specOf: file('video') },
  { parameter: 'audio', inputs: ['audio'], classes: /^(VHS_)?LoadAudio(Upload)?$/, specOf: file('audio') },
  { parameter: 'width', inputs: ['width'], classes: LATENT, specOf: size },
  { parameter: 'height', inputs: ['height'], classes: LATENT, specOf: size },
  { parameter: 'frames', inputs: ['length'], classes: LATENT, specOf: integer({ min: 1, max: 1_000 }) },
  { parameter: 'fps', inputs: ['fps', 'frame_rate'], specOf: number({ min: 1, max: 120 }) },
  { parameter: 'batch_size', inputs: ['batch_size'], classes: /Latent/, specOf: integer({ min: 1, max: 16 }) },
  { parameter: 'steps', inputs: ['steps'], specOf: integer({ min: 1, max: 150 }) },
  { parameter: 'cfg', inputs: ['cfg'], specOf: number({ min: 0, max: 30 }) },
  { parameter: 'guidance', inputs: ['guidance'], specOf: number({ min: 0, max: 100 }) },
  { parameter: 'denoise', inputs: ['denoise'], specOf: number({ min: 0, max: 1 }) },
  { parameter: 'seed', inputs: ['seed', 'noise_seed'], specOf: seed },
  { parameter: 'sampler', inputs: ['sampler_name'], specOf: name },
  { parameter: 'scheduler', inputs: ['scheduler'], specOf: name },
];

/** Parameters for what people usually choose; nodes that have the same value of an input share one. */
export function proposedParameters(graph: ApiGraph): ProposedParameters {
  const places = Object.entries(graph).flatMap(([node, { class_type: classType, inputs }]) =>
    Object.entries(inputs).map(([input, value]) => ({ node, input, classType, value })),
  );
  const entries = [...promptsOf(graph), ...RULES.flatMap((rule) => ruled(rule, places)), ...modelsOf(graph)];
  return Object.fromEntries(entries);
}

type Entry = readonly [string, ProposedParameter];

function promptsOf(graph: ApiGraph): readonly Entry[] {
  const direct = textsBehind(graph, 'positive');
  const positive = direct.length > 0 ? direct : textsBehind(graph, 'conditioning');
  const isPositive = (binding: GraphBinding) =>
    positive.some(({ node, input }) => node === binding.node && input === binding.input);
  const negative = textsBehind(graph, 'negative').filter((binding) => !isPositive(binding));
  const [first] = negative;
  const given = first === undefined ? '' : graph[first.node]?.inputs[first.input];
  const text = { type: 'string', maxLength: 4_000 };
  return [
    ...(positive.length === 0
      ? []
      : [['prompt', { ...text, required: true, minLength: 1, bindings: positive }] as const]),
    ...(first === undefined
      ? []
      : [
          [
            'negative_prompt',
            { ...text, default: typeof given === 'string' ? given : '', bindings: negative },
          ] as const,
        ]),
  ];
}

/** Nodes that have different values are different things; only the first of them is proposed. */
function ruled({ parameter, inputs, classes, specOf }: Rule, places: readonly Place[]): readonly Entry[] {
  const found = places.filter(({ input, classType }) => inputs.includes(input) && (classes?.test(classType) ?? true));
  const first = found.find(({ value }) => specOf(value) !== null);
  const spec = first === undefined ? null : specOf(first.value);
  if (first === undefined || spec === null) return [];
  const same = found.filter(({ value }) => value === first.value);
  return [[parameter, { type: '', ...spec, bindings: same.map(({ node, input }) => ({ node, input })) }]];
}

/** The first checkpoint or diffusion model; others, such as text encoders, go with it and stay as they are. */
function modelsOf(graph: ApiGraph): readonly Entry[] {
  const models = modelInputsOf(graph);
  const [first] = models.filter(({ folder }) => ['checkpoints', 'diffusion_models'].includes(folder));
  if (first === undefined) return [];
  const bindings = models.filter(({ name, folder }) => name === first.name && folder === first.folder);
  const spec = { type: 'string', maxLength: 255, default: first.name };
  return [['model', { ...spec, bindings: bindings.map(({ node, input }) => ({ node, input })) }]];
}

function file(type: string): Rule['specOf'] {
  return (value) => (typeof value === 'string' ? { type, required: true } : null);
}

function size(value: unknown) {
  if (typeof value !== 'number') return null;
  const multipleOf = [64, 32, 16, 8].find((unit) => value % unit === 0 && unit <= 16);
  const range = { min: Math.min(64, value), max: Math.max(2_048, value) };
  return { type: 'integer', ...range, ...(multipleOf !== undefined && { multipleOf }), default: value };
}

function integer(range: { readonly min: number; readonly max: number }): Rule['specOf'] {
  return (value) => (Number.isInteger(value) ? { type: 'integer', ...around(range, Number(value)) } : null);
}

function number(range: { readonly min: number; readonly max: number }): Rule['specOf'] {
  return (value) => (typeof value === 'number' ? { type: 'number', ...around(range, value) } : null);
}

/** The value of the graph is always allowed. */
function around({ min, max }: { readonly min: number; readonly max: number }, value: number) {
  return { min: Math.min(min, value), max: Math.max(max, value), default: value };
}

function seed(value: unknown) {
  return typeof value === 'number' ? { type: 'integer', min: 0, max: Number.MAX_SAFE_INTEGER, random: true } : null;
}

function name(value: unknown) {
  return typeof value === 'string' ? { type: 'string', maxLength: 100, default: value } : null;
}
