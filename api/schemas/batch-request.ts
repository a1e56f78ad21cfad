import { z } from './openapi-zod.js';
import { ACCOUNT_NAME } from './generation-request.js';
import { wholeNumber } from './whole-number.js';

const SWEPT_VALUES = 10_000;

const seedsSchema = z
  .strictObject({ from: wholeNumber(0, Number.MAX_SAFE_INTEGER), count: wholeNumber(1, SWEPT_VALUES) })
  .describe('So many seeds, one after the other.');

/** The body of `POST /v1/batches`. What one generation may be is judged by the parser of single requests. */
export const batchRequestSchema = z.strictObject({
  generations: z
    .array(z.record(z.string(), z.unknown()))
    .min(1)
    .optional()
    .describe('Bodies of POST /v1/generations, without account.'),
  generation: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('Instead of generations: one such body with a template, for sweep and seeds.'),
  sweep: z
    .record(z.string(), z.array(z.unknown()).min(1).max(SWEPT_VALUES))
    .optional()
    .describe(
      'Parameters with the values that each takes: every combination is one generation, the last one changes first.',
    ),
  seeds: seedsSchema.optional(),
  account: z
    .string()
    .regex(ACCOUNT_NAME, 'may have letters, digits, . _ : @ and -, at most 64')
    .optional()
    .describe('The account that pays for all of them, or for none.'),
  priority: wholeNumber(1, 5).optional().describe('Of those that name none.'),
});
export type BatchRequest = z.infer<typeof batchRequestSchema>;
