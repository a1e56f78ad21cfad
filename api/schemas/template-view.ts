import { z } from './openapi-zod.js';

const parameterView = z.object({
  type: z.enum(['string', 'integer', 'number', 'boolean', 'enum', 'image', 'mask', 'video', 'audio']),
  title: z.string().optional(),
  description: z.string().optional(),
  required: z.boolean(),
  default: z.union([z.string(), z.number(), z.boolean()]).optional(),
  min: z.number().optional(),
  max: z.number().optional(),
  multipleOf: z.int().optional(),
  remainder: z.int().optional().describe('What the value leaves when divided by multipleOf; 0 if absent.'),
  minLength: z.int().optional(),
  maxLength: z.int().optional(),
  pattern: z.string().optional(),
  values: z.array(z.string()).optional(),
  maxPixels: z.int().optional().describe('Width × height of a file.'),
  maxSeconds: z.number().optional(),
  random: z.boolean().optional().describe('Chosen at random when absent, and shown in asked.'),
});

export const templateViewSchema = z.object({
  name: z.string(),
  url: z.string(),
  thumbnailUrl: z.string().nullable(),
  title: z.string(),
  description: z.string(),
  parameters: z.record(z.string(), parameterView),
  pool: z.string(),
  flatImages: z.enum(['allow', 'flag', 'fail']),
  noisyImages: z.enum(['allow', 'fail']),
  models: z.array(
    z.object({
      folder: z.string(),
      name: z.string().optional(),
      parameter: z.string().optional(),
      url: z.string().optional(),
    }),
  ),
  customNodes: z.array(z.string()),
  vram: z
    .array(z.object({ upTo: z.record(z.string(), z.number()), gb: z.number() }))
    .describe('GB of VRAM up to these values of parameters; empty where nothing is known.'),
  example: z.object({
    method: z.literal('POST'),
    url: z.string(),
    body: z.object({ template: z.string(), parameters: z.record(z.string(), z.unknown()) }),
  }),
});
export type TemplateView = z.infer<typeof templateViewSchema>;
