import { z } from './openapi-zod.js';
import { apiGraphSchema } from './api-graph.js';
import { PROVIDER_MODES } from '../../workflows/contracts/fal.js';
import { wholeNumber } from './whole-number.js';

/** What a caller names where a file is wanted. */
export const INPUT_REFERENCE = /^(upl_[0-9a-f]{32}|https?:\/\/\S+)$/;
export const INPUT_WORDS = 'must be the id of an upload (POST /v1/uploads) or an address that begins with https://';
export const MAX_REFERENCE_CHARS = 2_048;
const MAX_IMAGES = 16;

/** Names of accounts are the caller's own: user ids, mail addresses. */
export const ACCOUNT_NAME = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}$/;

/** What recoveries of this generation may do; what is absent is as the service is configured. */
const recoverySchema = z
  .strictObject({
    enabled: z.boolean().optional().describe('False: the first failure that no retry in place cures ends it.'),
    strict: z
      .boolean()
      .optional()
      .describe('True: nothing that was asked for is changed; no smaller picture, no other model.'),
    maxAttempts: wholeNumber(0, 10).optional().describe('Recoveries that may change what was asked for.'),
    models: z
      .array(z.string().min(1).max(255))
      .max(10)
      .optional()
      .describe('Checkpoints that may stand in for one that is missing, in this order; empty: none.'),
  })
  .optional()
  .describe('What recoveries may do; see docs/recovery.md.');

/** Fields that stand beside either kind of request. */
const common = {
  /** The caller's own labels, given back unchanged. */
  metadata: z
    .record(z.string().min(1).max(64), z.string().max(512))
    .refine((metadata) => Object.keys(metadata).length <= 16, 'has more than 16 entries')
    .default({})
    .describe("Up to 16 of the caller's own labels, given back unchanged."),
  priority: wholeNumber(1, 5)
    .optional()
    .describe('1 is rendered first, 5 last. Absent: 3, or the best that the account may use if that is lower.'),
  recovery: recoverySchema,
  account: z
    .string()
    .regex(ACCOUNT_NAME, 'may have letters, digits, . _ : @ and -, at most 64')
    .optional()
    .describe('The account that pays; absent: none, and credits are off.'),
  provider: z
    .enum(PROVIDER_MODES)
    .optional()
    .describe(
      'comfyui: on ComfyUI, and on fal.ai when that fails for good; fal: there at once; comfyui-only: never there. ' +
        'Absent: as the service is configured.',
    ),
  timeoutMinutes: wholeNumber(1, 1440)
    .optional()
    .describe('Time from the claim by a GPU to the end; also lowers the limit of one rendering to it.'),
};

export const templateRequestSchema = z.strictObject({
  template: z.string().min(1).max(100),
  parameters: z.record(z.string(), z.unknown()).default({}),
  ...common,
});

const images = z
  .record(z.string().min(1).max(255), z.string().max(MAX_REFERENCE_CHARS).regex(INPUT_REFERENCE, INPUT_WORDS))
  .refine((files) => Object.keys(files).length <= MAX_IMAGES, `has more than ${MAX_IMAGES} files`)
  .default({})
  .describe('Files for the graph, by the name that its nodes have for them: an upload (upl_…) or an address.');

export const graphRequestSchema = z.strictObject({ graph: apiGraphSchema, images, ...common });

/** The body of `POST /v1/generations`, for the OpenAPI document; the parser chooses one of the two by its keys. */
export const generationRequestSchema = z.union([templateRequestSchema, graphRequestSchema]);

export type TemplateRequest = z.infer<typeof templateRequestSchema>;
export type GraphRequest = z.infer<typeof graphRequestSchema>;
export type GenerationRequest =
  | { readonly kind: 'template'; readonly request: TemplateRequest }
  | { readonly kind: 'graph'; readonly request: GraphRequest };
export type RecoveryRequest = NonNullable<TemplateRequest['recovery']>;
