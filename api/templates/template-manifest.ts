import { z } from 'zod';
import { OUTPUT_KINDS } from '../../workflows/contracts/generation.js';

const binding = z.strictObject({ node: z.string().min(1), input: z.string().min(1) });

const common = {
  title: z.string().optional(),
  description: z.string().optional(),
  /** Must be given by the caller; a parameter that is not required has a default or is random. */
  required: z.boolean().optional(),
  /** Every place of the graph that the value is written to. */
  bindings: z.array(binding).min(1),
};

const stringParameter = z.strictObject({
  ...common,
  type: z.literal('string'),
  minLength: z.int().min(0).optional(),
  maxLength: z.int().min(1),
  /** A regular expression for the whole value. */
  pattern: z.string().optional(),
  default: z.string().optional(),
});

const integerParameter = z.strictObject({
  ...common,
  type: z.literal('integer'),
  min: z.int(),
  max: z.int(),
  multipleOf: z.int().min(1).optional(),
  /** With `multipleOf`: what is left over when the value is divided by it, as in 1, 5, 9 …; 0 if absent. */
  remainder: z.int().min(1).optional(),
  default: z.int().optional(),
  /** Chosen at acceptance when absent, between `min` and `max`. */
  random: z.boolean().optional(),
});

const numberParameter = z.strictObject({
  ...common,
  type: z.literal('number'),
  min: z.number(),
  max: z.number(),
  default: z.number().optional(),
});

const booleanParameter = z.strictObject({ ...common, type: z.literal('boolean'), default: z.boolean().optional() });

const enumParameter = z.strictObject({
  ...common,
  type: z.literal('enum'),
  values: z.array(z.string()).min(1),
  default: z.string().optional(),
});

const FILE_TYPES = ['image', 'mask', 'video', 'audio'] as const;

/** A file that the caller brings: the id of an upload, or an address that it is fetched from. */
const fileParameter = z.strictObject({
  ...common,
  type: z.enum(FILE_TYPES),
  /** Width × height; absent: as much as the service takes. */
  maxPixels: z.int().min(1).optional(),
  maxSeconds: z.number().positive().optional(),
  default: z.undefined().optional(),
});
export type FileParameterSpec = z.infer<typeof fileParameter>;

export const parameterSpec = z.discriminatedUnion('type', [
  stringParameter,
  integerParameter,
  numberParameter,
  booleanParameter,
  enumParameter,
  fileParameter,
]);
export type ParameterSpec = z.infer<typeof parameterSpec>;

export function isFileParameter(spec: ParameterSpec): spec is FileParameterSpec {
  return FILE_TYPES.some((type) => type === spec.type);
}

/** Where a field of fal's model takes its value from; limits are those of the model. */
const falValue = z.union([
  z.strictObject({ parameter: z.string(), min: z.number().optional(), max: z.number().optional() }),
  z.strictObject({ value: z.unknown() }),
]);

/** The same request on fal.ai. */
const falMapping = z.strictObject({
  /** `owner/app` or `owner/app/path`. */
  model: z.string().regex(/^[\w.-]+(\/[\w.-]+){1,5}$/),
  /** By field of the model; a dot leads into an object, as in `image_size.width`. */
  input: z.record(z.string().regex(/^\w+(\.\w+)*$/), falValue),
  /** What one output costs at most, in US dollars. */
  usdPerOutput: z.number().min(0),
});
export type FalMapping = z.infer<typeof falMapping>;

/**
 * A length in pixels or seconds: the name of a parameter, or a sum of several, enlarged and then rounded down. Files have
 * lengths of their own: `image.width`, `image.height`, `video.seconds`.
 */
const measure = z.union([
  z.string(),
  z.strictObject({
    sum: z.array(z.string()).min(1),
    times: z.number().positive().optional(),
    multipleOf: z.int().min(1).optional(),
  }),
]);
export type Measure = z.infer<typeof measure>;

/** `template.json`: what may be asked for, and where it goes in `graph.json`. docs/templates.md explains each field. */
export const templateManifest = z.strictObject({
  title: z.string().min(1),
  description: z.string().min(1),
  parameters: z.record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/), parameterSpec),
  /** Node ids whose files are the result. */
  outputs: z.array(z.string()).min(1),
  pool: z.string().regex(/^[a-z0-9-]+$/),
  /** Names of the parameters that say what the outputs must be; `null` where the graph decides. */
  expected: z.strictObject({
    kind: z.enum(OUTPUT_KINDS).default('image'),
    width: measure.nullable(),
    height: measure.nullable(),
    count: z.string().nullable(),
    /** Pictures in each file, or the seconds that it takes, and how many pictures a second has. */
    frames: z.string().optional(),
    seconds: measure.optional(),
    fps: z.union([z.string(), z.number().positive()]).optional(),
    /** Whether a video must have a sound: always, if a boolean parameter says so, or if a file has one (`video.sound`). */
    sound: z.union([z.literal(true), z.string()]).optional(),
    /** A picture; where the results are that picture, unchanged, the node of a face has found none: NO_FACE. */
    noFaceIfUnchanged: z.string().optional(),
  }),
  flatImages: z.enum(['allow', 'flag', 'fail']),
  noisyImages: z.enum(['allow', 'fail']).default('allow'),
  /** What one output costs an account; 1 if absent. With ComfyUI's largest batch (4096) it still fits into an integer. */
  creditsPerOutput: z.int().min(0).max(100_000).optional(),
  limits: z.strictObject({ renderSeconds: z.int().min(1).max(86_400).optional() }),
  /** Model files that a backend must have: a fixed name, or the parameter that names it; `url`: where it (or the default) is. */
  models: z.array(
    z.union([
      z.strictObject({ folder: z.string(), name: z.string(), url: z.url().optional() }),
      z.strictObject({ folder: z.string(), parameter: z.string(), url: z.url().optional() }),
    ]),
  ),
  /** Packages with classes that ComfyUI itself does not have, by the address of their source. */
  customNodes: z.array(z.string()),
  /** VRAM by size: up to these values of numeric parameters a rendering needs so many GB. The smallest line that covers counts. */
  vram: z
    .array(
      z.strictObject({
        upTo: z.record(z.string(), z.number()).refine((upTo) => Object.keys(upTo).length > 0, 'names no parameter'),
        gb: z.number().positive().max(1_000),
      }),
    )
    .optional(),
  /** Without it the template has no counterpart on fal.ai. */
  fal: falMapping.optional(),
  /** Parameters that work, shown to callers. */
  example: z.record(z.string(), z.unknown()),
});
export type TemplateManifest = z.infer<typeof templateManifest>;
