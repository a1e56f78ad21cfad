import { z } from './openapi-zod.js';

export const emergencyStopRequestSchema = z.strictObject({
  reason: z.string().trim().min(1).max(500).default('by an operator').describe('Shown to callers who are refused.'),
});

const reportSchema = z.object({
  backends: z
    .array(
      z.object({
        backendId: z.string(),
        gate: z.enum(['closed', 'unacknowledged', 'no_worker']),
        isIdle: z.boolean().nullable().describe('Null: nobody can say.'),
      }),
    )
    .readonly(),
  generations: z.object({
    cancelled: z.int().min(0),
    stillOpen: z.array(z.string()).readonly().describe('At most 100 ids of those that had not ended.'),
  }),
});

export const emergencyStopViewSchema = z.object({
  isStopped: z.boolean(),
  reason: z.string().nullable(),
  requestedAt: z.iso.datetime().nullable(),
  completedAt: z.iso.datetime().nullable().describe('When the report was made; null while that is under way.'),
  report: reportSchema.nullable(),
  note: z.string().optional().describe('Only in the answer to a stop that gave another reason than the one in force.'),
});
export type EmergencyStopView = z.infer<typeof emergencyStopViewSchema>;

/** R5.10's names for the same. */
export const emergencyStopAnswerSchema = z.object({
  success: z.literal(true),
  status: z.enum(['stopping', 'stopped']),
  cancelled_jobs: z.int().min(0).nullable(),
  still_open_jobs: z.array(z.string()).readonly().nullable(),
  backends: z.array(z.object({ backend_id: z.string(), gate: z.string(), idle: z.boolean().nullable() })).nullable(),
});
export type EmergencyStopAnswer = z.infer<typeof emergencyStopAnswerSchema>;
