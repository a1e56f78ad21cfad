import { z } from './openapi-zod.js';
import { GENERATION_STATUSES } from '../../workflows/domain/generation-status.js';
import { apiGraphSchema } from './api-graph.js';
import { wholeNumber } from './whole-number.js';

/** R5.10: the names of that API, which are not those of `/v1`. */
export const jobSubmitSchema = z.strictObject({
  prompt: z
    .string()
    .min(1)
    .max(20_000)
    .optional()
    .describe("Replaces the text that feeds the sampler's positive input."),
  workflow_data: apiGraphSchema.describe("A graph in ComfyUI's API format."),
  job_type: z.enum(['image', 'video']).default('image'),
  parameters: z
    .record(z.string().min(1).max(64), z.union([z.string().max(20_000), z.number(), z.boolean()]))
    .default({})
    .describe('Set on every node that has an input of this name.'),
  timeout_minutes: wholeNumber(1, 1440).optional(),
});

export const jobRetrySchema = z.strictObject({
  force_retry: z.boolean().default(false).describe('True: also what the same request will fail at again.'),
});

export const retryFailedSchema = z.strictObject({ max_jobs: wholeNumber(1, 100).default(5) });

export const jobAcceptedSchema = z.object({
  success: z.literal(true),
  job_id: z.string(),
  status: z.literal('queued'),
});
export const retriedJobsSchema = z.object({
  success: z.literal(true),
  count: z.int().min(0),
  retried_job_ids: z.array(z.string()),
  skipped_jobs: z
    .array(z.object({ job_id: z.string(), reason: z.string() }))
    .describe('Failed ones that were left alone, the oldest first, at most 100. force_retry retries each by its id.'),
});

const statuses = GENERATION_STATUSES.map((status) => status.toLowerCase() as Lowercase<typeof status>);

export const jobStatusSchema = z.object({
  success: z.literal(true),
  job_id: z.string(),
  data: z.object({
    status: z.enum(statuses),
    progress: z.number().min(0).max(100),
    retry_count: z.int().min(0),
    recovery_history: z.array(
      z.object({
        attempt: z.int().min(1),
        message: z.string(),
        success: z.boolean().nullable(),
        timestamp: z.iso.datetime(),
      }),
    ),
    recovery_status: z.object({
      total_attempts: z.int().min(0),
      successful_attempts: z.int().min(0),
      available_checkpoints: z.int().min(0),
    }),
    result: z
      .object({
        success: z.boolean(),
        output_files: z.array(z.string()),
        recovery_used: z.boolean(),
        error_message: z.string().nullable(),
      })
      .nullable(),
  }),
});
export type JobStatusView = z.infer<typeof jobStatusSchema>;

const count = z.int().min(0);

export const recoveryStatisticsSchema = z.object({
  total_errors: count,
  successful_recoveries: count,
  failed_recoveries: count,
  recovery_rate: z.number().min(0).max(100).nullable().describe('Percent; null before anything has failed.'),
  error_distribution: z.record(z.string(), count),
});
export type RecoveryStatisticsView = z.infer<typeof recoveryStatisticsSchema>;

const recoveryCounts = { total: count, recovered: count, failed: count, under_way: count };

export const detailedRecoveryStatisticsSchema = recoveryStatisticsSchema.extend({
  by_kind: z.array(z.object({ kind: z.string(), ...recoveryCounts })),
  by_strategy: z.array(z.object({ strategy: z.string(), ...recoveryCounts })),
  jobs: z.record(z.string(), count).describe('How many jobs have each status.'),
  seconds: z.object({ median: z.number(), p95: z.number() }).nullable().describe('Of those that are completed.'),
});
export type DetailedRecoveryStatisticsView = z.infer<typeof detailedRecoveryStatisticsSchema>;

export const recoveryHealthSchema = z.object({
  success: z.boolean(),
  status: z.enum(['healthy', 'stopped', 'unhealthy']).describe('stopped: an emergency stop is in force.'),
  dependencies: z.object({ database: z.string(), objectStore: z.string(), temporal: z.string() }),
});
export type RecoveryHealthView = z.infer<typeof recoveryHealthSchema>;
