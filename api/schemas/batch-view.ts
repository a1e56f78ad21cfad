import { z } from './openapi-zod.js';

const instant = z.iso.datetime();
const count = z.int().min(0);

export const batchViewSchema = z.object({
  id: z.string().regex(/^bat_[0-9a-f]{32}$/),
  url: z.string(),
  total: z.int().min(1).describe('Places; a retry takes the place of the generation that it repeats.'),
  counts: z
    .object({
      ...{ queued: count, processing: count, recovering: count },
      ...{ completed: count, failed: count, timeout: count, cancelled: count },
    })
    .describe('By status; all together are total.'),
  percent: z.number().min(0).max(100).describe('Of the places, how many have ended.'),
  endsInSeconds: z
    .int()
    .min(0)
    .nullable()
    .describe('Until the last one that waits has ended; null while nobody knows.'),
  account: z.string().nullable().describe('The account that pays; null: none.'),
  createdAt: instant,
  finishedAt: instant.nullable(),
  cancelRequestedAt: instant.nullable(),
  links: z.object({ generations: z.string(), failed: z.string(), events: z.string() }),
});
export type BatchView = z.infer<typeof batchViewSchema>;

export const batchRetryViewSchema = z.object({
  retried: count.describe('Generations that were accepted once more.'),
  skipped: count.describe('Those whose files were removed, or whose graph is not taken any more.'),
  batch: batchViewSchema,
});
export type BatchRetryView = z.infer<typeof batchRetryViewSchema>;
