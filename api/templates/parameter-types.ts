import { z } from 'zod';
import { INPUT_REFERENCE, INPUT_WORDS, MAX_REFERENCE_CHARS } from '../schemas/generation-request.js';
import type { JsonKind } from '../../infra/runtime/kind-of-value.js';
import { wholeNumberWords } from '../schemas/whole-number.js';
import type { FileParameterSpec, ParameterSpec } from './template-manifest.js';

export type ParameterValue = string | number | boolean;

/** What values a parameter of one type takes. */
export interface ParameterType<Spec> {
  readonly kind: JsonKind;
  schema(spec: Spec): z.ZodType<ParameterValue>;
  /** Follows on "must be". */
  words(spec: Spec): string;
  /** In a form that programs can use: a list of values, or the limits. */
  allowed(spec: Spec): unknown;
}

type SpecOf<Type extends ParameterSpec['type']> = Type extends FileParameterSpec['type']
  ? FileParameterSpec
  : Extract<ParameterSpec, { readonly type: Type }>;

const FILE: ParameterType<FileParameterSpec> = {
  kind: 'a text',
  schema: () => z.string().max(MAX_REFERENCE_CHARS).regex(INPUT_REFERENCE),
  words: () => INPUT_WORDS.replace('must be ', ''),
  allowed: ({ maxPixels, maxSeconds }) => ({ maxPixels, maxSeconds }),
};

const TYPES: { readonly [Type in ParameterSpec['type']]: ParameterType<SpecOf<Type>> } = {
  string: {
    kind: 'a text',
    schema: ({ minLength = 0, maxLength, pattern }) => {
      const text = z.string().min(minLength).max(maxLength);
      return pattern === undefined ? text : text.regex(new RegExp(pattern, 'u'));
    },
    words: ({ minLength = 0, maxLength, pattern }) =>
      `a text of ${minLength} to ${maxLength} characters${pattern === undefined ? '' : ` that matches ${pattern}`}`,
    allowed: ({ minLength = 0, maxLength, pattern }) => ({ minLength, maxLength, pattern }),
  },
  integer: {
    kind: 'a number',
    schema: ({ min, max, multipleOf = 1, remainder = 0 }) =>
      z
        .int()
        .min(min)
        .max(max)
        .refine((value) => (value - remainder) % multipleOf === 0),
    words: ({ min, max, ...step }) => `${wholeNumberWords(min, max)}${stepWords(step)}`,
    allowed: ({ min, max, multipleOf, remainder }) => ({ min, max, multipleOf, remainder }),
  },
  number: {
    kind: 'a number',
    schema: ({ min, max }) => z.number().min(min).max(max),
    words: ({ min, max }) => `a number from ${min} to ${max}`,
    allowed: ({ min, max }) => ({ min, max }),
  },
  boolean: {
    kind: 'true or false',
    schema: () => z.boolean(),
    words: () => 'true or false',
    allowed: () => [true, false],
  },
  enum: {
    kind: 'a text',
    schema: ({ values }) => z.enum(values),
    words: () => 'one of the allowed values',
    allowed: ({ values }) => values,
  },
  image: FILE,
  mask: FILE,
  video: FILE,
  audio: FILE,
};

/** The type of a parameter; its methods are to be given that very parameter. */
export function parameterTypeOf(spec: ParameterSpec): ParameterType<ParameterSpec> {
  return TYPES[spec.type];
}

function stepWords({ multipleOf, remainder = 0 }: Pick<SpecOf<'integer'>, 'multipleOf' | 'remainder'>): string {
  if (multipleOf === undefined) return '';
  return ` that is a multiple of ${multipleOf}${remainder === 0 ? '' : ` plus ${remainder}`}`;
}
