import { z } from './openapi-zod.js';
import { ACCOUNT_NAME } from './generation-request.js';
import { wholeNumber, wholeNumberText } from './whole-number.js';

export const accountRequestSchema = z.strictObject({
  id: z.string().regex(ACCOUNT_NAME, 'may have letters, digits, . _ : @ and -, at most 64'),
});

export const grantRequestSchema = z.strictObject({
  credits: wholeNumber(1, 1_000_000_000),
  reference: z.string().trim().min(1).max(200).describe("The caller's own name of it: the same one is granted once."),
});

const WEIGHT_WORDS = 'must be a number from 0.001 to 1000';

/** What is absent stays as it is; `null`: as the service is configured. */
export const limitsRequestSchema = z.strictObject({
  bestPriority: wholeNumber(1, 5).nullable().optional().describe('The best priority it may ask for; 1 is the best.'),
  maxOpen: wholeNumber(0, 1_000_000).nullable().optional().describe('Its generations that wait or render at once.'),
  weight: z
    .number()
    .min(0.001, WEIGHT_WORDS)
    .max(1_000, WEIGHT_WORDS)
    .nullable()
    .optional()
    .describe('Its share of the GPUs while several accounts wait; 1 is usual.'),
});
export type LimitsRequest = z.infer<typeof limitsRequestSchema>;

export const accountViewSchema = z.object({
  id: z.string(),
  balance: z.int().min(0).describe('What can be spent; held credits are not in it.'),
  held: z.int().min(0).describe('Set aside for generations that have not ended.'),
  open: z.int().min(0).describe('Its generations that have not ended.'),
  limits: z.object({ bestPriority: z.int().min(1).max(5), maxOpen: z.int().min(0), weight: z.number() }),
  createdAt: z.iso.datetime(),
});
export type AccountView = z.infer<typeof accountViewSchema>;

export const accountPageSchema = z.object({ accounts: z.array(accountViewSchema), nextCursor: z.string().nullable() });
export type AccountPage = z.infer<typeof accountPageSchema>;

export const creditEntryViewSchema = z.object({
  entry: z.int().min(1),
  kind: z
    .enum(['grant', 'hold', 'capture', 'release'])
    .describe('grant: given; hold: set aside; capture: the held ones are spent; release: they are given back.'),
  credits: z.int().min(1),
  balance: z.int().min(0).describe('After this entry.'),
  generationId: z.string().nullable(),
  reference: z.string().nullable(),
  createdAt: z.iso.datetime(),
});
export type CreditEntryView = z.infer<typeof creditEntryViewSchema>;

const MAX_ENTRIES = 1_000;

export const entriesQuerySchema = z.strictObject({
  limit: wholeNumberText(1, MAX_ENTRIES).default(100),
  before: wholeNumberText(1, Number.MAX_SAFE_INTEGER).optional(),
});
