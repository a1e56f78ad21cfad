import { z } from './openapi-zod.js';
import { FAILURE_KINDS } from '../../workflows/domain/failure.js';
import { GENERATION_STATUSES } from '../../workflows/domain/generation-status.js';

const count = z.int().min(0);
const share = z.number().min(0).max(1).nullable();
const counts = { total: count, recovered: count, failed: count, underWay: count };

export const statisticsViewSchema = z.object({
  since: z.iso.datetime().describe('Generations that were accepted from here on count.'),
  until: z.iso.datetime(),
  generations: z.record(z.enum(GENERATION_STATUSES), count),
  successRate: share.describe('COMPLETED of those that ended by themselves; null before one has.'),
  seconds: z
    .object({ median: z.number(), p95: z.number() })
    .nullable()
    .describe('From acceptance to the end, of those that are COMPLETED.'),
  errors: z
    .object({ ...counts, recoveryRate: share, isBelowThreshold: z.boolean() })
    .describe('Every recovery attempt is one failure, and so is an end without any.'),
  byKind: z.array(z.object({ kind: z.enum(FAILURE_KINDS), ...counts })),
  byStrategy: z.array(z.object({ strategy: z.string(), ...counts })),
  falUsdOfLast24Hours: z
    .number()
    .min(0)
    .describe('Set aside for fal.ai, whatever hours says: what FAL_MAX_USD_PER_DAY counts.'),
});
export type StatisticsView = z.infer<typeof statisticsViewSchema>;
