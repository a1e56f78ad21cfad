import { z } from './openapi-zod.js';
import { OUTPUT_KINDS } from '../../workflows/contracts/generation.js';
import { PROVIDER_MODES } from '../../workflows/contracts/fal.js';
import { FAILURE_KINDS } from '../../workflows/domain/failure.js';
import { GENERATION_STATUSES } from '../../workflows/domain/generation-status.js';

const instant = z.iso.datetime();
const values = z.record(z.string(), z.unknown());

export const queueViewSchema = z.object({
  position: z.int().min(1).describe('1 is next in its pool, counted by priority and acceptance.'),
  isApproximate: z.boolean().describe('True while several accounts or batches wait: they take turns.'),
  busy: z.int().min(0).describe('Prompts that the GPUs work on now.'),
  slots: z.int().min(0).describe('Prompts that the healthy GPUs can work on at once.'),
  startsInSeconds: z.int().min(0).nullable().describe('Estimated from earlier renderings; null while nobody knows.'),
  endsInSeconds: z.int().min(0).nullable(),
  reason: z.string().optional().describe('Why nothing renders, when no healthy ComfyUI is known.'),
  userMessage: z.string().optional().describe('For end users, while all GPUs are taken; by Accept-Language.'),
});
export type QueueView = z.infer<typeof queueViewSchema>;

export const progressViewSchema = z.object({
  percent: z.number().min(0).max(100).describe('Of the whole graph; never falls while one prompt renders.'),
  node: z.string().nullable().describe('Id of the graph node that renders now.'),
  step: z.int().nullable(),
  steps: z.int().nullable(),
  queuePosition: z.int().min(0).nullable().describe("Requests before this one in fal.ai's queue; null elsewhere."),
});
export type ProgressView = z.infer<typeof progressViewSchema>;

export const outputViewSchema = z.object({
  index: z.int().min(0),
  kind: z.enum(OUTPUT_KINDS),
  mediaType: z.string(),
  bytes: z.int().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  width: z.int().nullable(),
  height: z.int().nullable(),
  frames: z.int().nullable().describe('Pictures in a video or an animation.'),
  durationSeconds: z.number().nullable().describe('Of a video, an animation or a sound.'),
  isFlat: z.boolean().describe('True when the picture is one flat colour and the template flags that.'),
  expiredAt: instant.nullable().describe('When the file was removed after its time; its url answers 410 from then on.'),
  url: z.string(),
});

export const attemptViewSchema = z.object({
  attempt: z.int().min(1),
  kind: z.string(),
  strategy: z.string(),
  message: z.string(),
  rule: z.string().nullable().describe('The rule of RECOVERY_CONFIG that has recognised the failure.'),
  before: values.nullable(),
  after: values.nullable(),
  success: z.boolean().nullable().describe('null while the recovery is under way.'),
  createdAt: instant,
});

const creditsViewSchema = z.object({
  amount: z.int().min(1),
  state: z.enum(['held', 'captured', 'released']).describe('Captured for a delivered result, released otherwise.'),
});

export const generationErrorSchema = z.object({
  code: z.string().describe('Lower-case form of kind.'),
  kind: z.enum(FAILURE_KINDS),
  title: z.string(),
  detail: z.string(),
  remedy: z.string(),
  retryable: z.boolean(),
  userMessage: z.string().describe('For end users, by Accept-Language: en, ru.'),
  type: z.string().describe('Page that explains the kind.'),
});

const correctionSchema = z.object({
  node: z.string().nullable().describe('Null for a parameter of the template.'),
  title: z.string().nullable(),
  input: z.string(),
  from: z.string(),
  to: z.string(),
});

export const generationViewSchema = z.object({
  id: z.string().regex(/^gen_[0-9a-f]{32}$/),
  status: z.enum(GENERATION_STATUSES),
  url: z.string(),
  template: z.string(),
  provider: z.enum(['comfyui', 'fal']).describe('Who renders, or has rendered.'),
  providerMode: z
    .enum(PROVIDER_MODES)
    .nullable()
    .describe('What was asked for, or how the service is configured where the request says nothing: who may render.'),
  asked: values.describe('Every parameter with the value that was asked for, defaults and random seeds included.'),
  delivered: values.nullable().describe('What was rendered, where a recovery changed what was asked; null until then.'),
  corrections: z
    .array(correctionSchema)
    .describe('Values that were given in another spelling than they are known by (euler_a for euler_ancestral).'),
  attempts: z.array(attemptViewSchema),
  abandonedRenderings: z
    .int()
    .min(0)
    .describe('Times that a lost backend may have gone on rendering while another took over.'),
  progress: progressViewSchema.nullable().describe('Only while PROCESSING.'),
  queue: queueViewSchema.nullable().describe('Only while QUEUED for a ComfyUI; null for what goes to fal.ai.'),
  fallbackObstacle: z
    .string()
    .nullable()
    .describe('Why fal.ai does not take it while it waits and no backend is healthy; null: it was not asked.'),
  outputs: z.array(outputViewSchema),
  error: generationErrorSchema.nullable(),
  account: z.string().nullable().describe('The account that pays; null: none.'),
  credits: creditsViewSchema.nullable().describe('Null where nothing is charged.'),
  retryOf: z.string().nullable().describe('The generation that this one repeats.'),
  batch: z
    .object({ id: z.string(), index: z.int().min(0).nullable().describe('null once its retry has taken the place.') })
    .nullable()
    .describe('The batch that it was accepted with.'),
  priority: z.int().min(1).max(5),
  metadata: z.record(z.string(), z.string()),
  createdAt: instant,
  startedAt: instant.nullable(),
  finishedAt: instant.nullable(),
  cancelRequestedAt: instant.nullable(),
  temporal: z.object({ workflowId: z.string(), runId: z.string().nullable(), url: z.string().nullable() }),
});
export type GenerationView = z.infer<typeof generationViewSchema>;
