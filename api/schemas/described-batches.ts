import { z } from './openapi-zod.js';
import { GENERATION_STATUSES } from '../../workflows/domain/generation-status.js';
import { batchRequestSchema } from './batch-request.js';
import { batchRetryViewSchema, batchViewSchema } from './batch-view.js';
import { READS, WRITES } from './described-route.js';
import type { DescribedRoute } from './described-route.js';

const id = { id: z.string().regex(/^bat_[0-9a-f]{32}$/) };
const key = { 'Idempotency-Key': z.string().min(1).max(255).optional() };
const BODY = ['invalid_json', 'unsupported_media_type', 'body_too_large', 'invalid_request', 'unsafe_number'] as const;
const NO_ROOM = ['queue_full', 'account_queue_full', 'service_stopped'] as const;
const CREDITS = ['insufficient_credits', 'unknown_account'] as const;
const KEY = ['invalid_idempotency_key', 'idempotency_in_flight', 'idempotency_mismatch'] as const;

export function batchRoutes({ Generation }: { readonly Generation: z.ZodType }): readonly DescribedRoute[] {
  const batch = { description: 'The batch', schema: batchViewSchema };
  return [
    {
      method: 'post',
      path: '/v1/batches',
      operationId: 'createBatch',
      summary: 'Accept many generations, all of them or none: a list, or a sweep over parameters and seeds',
      headers: key,
      body: batchRequestSchema,
      answers: { '202': { description: 'Accepted', schema: batchViewSchema, headers: { Location: z.string() } } },
      problems: [
        ...WRITES,
        ...BODY,
        ...KEY,
        ...NO_ROOM,
        ...CREDITS,
        'invalid_batch',
        'input_gone',
        'storage_unavailable',
      ],
    },
    {
      method: 'get',
      path: '/v1/batches',
      operationId: 'listBatches',
      summary: 'List batches, newest first',
      query: z.object({
        limit: z.int().min(1).max(20).optional(),
        cursor: z.string().optional().describe('nextCursor of the page before.'),
      }),
      answers: {
        '200': {
          description: 'One page',
          schema: z.object({ batches: z.array(batchViewSchema), nextCursor: z.string().nullable() }),
        },
      },
      problems: [...READS, 'invalid_query'],
    },
    {
      method: 'get',
      path: '/v1/batches/{id}',
      operationId: 'getBatch',
      summary: 'How far a batch is',
      params: id,
      answers: { '200': batch },
      problems: [...READS, 'batch_not_found'],
    },
    ...contents(Generation),
    ...commands(batch),
  ];
}

function contents(Generation: z.ZodType): readonly DescribedRoute[] {
  return [
    {
      method: 'get',
      path: '/v1/batches/{id}/generations',
      operationId: 'listBatchGenerations',
      summary: 'The generations of a batch with their outputs, in the order of the batch',
      params: id,
      query: z.object({
        limit: z.int().min(1).max(100).optional(),
        cursor: z.string().optional().describe('nextCursor of the page before.'),
        status: z
          .string()
          .optional()
          .describe(`Comma list of ${GENERATION_STATUSES.join(', ')}.`),
      }),
      answers: {
        '200': {
          description: 'One page',
          schema: z.object({ generations: z.array(Generation), nextCursor: z.string().nullable() }),
        },
      },
      problems: [...READS, 'batch_not_found', 'invalid_query'],
    },
    {
      method: 'get',
      path: '/v1/batches/{id}/events',
      operationId: 'followBatch',
      summary: 'Follow a batch by Server-Sent Events: the batch as an event progress whenever it has changed',
      params: id,
      answers: { '200': { description: 'Events', schema: z.string(), mediaType: 'text/event-stream' } },
      problems: [...READS, 'batch_not_found', 'too_many_streams'],
    },
  ];
}

function commands(batch: { readonly description: string; readonly schema: z.ZodType }): readonly DescribedRoute[] {
  return [
    {
      method: 'post',
      path: '/v1/batches/{id}/cancel',
      operationId: 'cancelBatch',
      summary: 'Cancel what is open of a batch; repeating it changes nothing',
      params: id,
      answers: { '200': batch, '202': { ...batch, description: 'The cancel is recorded and will be carried out' } },
      problems: [...WRITES, 'batch_not_found'],
    },
    {
      method: 'post',
      path: '/v1/batches/{id}/retry',
      operationId: 'retryBatch',
      summary: 'Accept the failed generations of a batch once more; each new one takes the place of its failed one',
      params: id,
      headers: key,
      answers: { '202': { description: 'Accepted', schema: batchRetryViewSchema } },
      problems: [...WRITES, ...KEY, ...NO_ROOM, ...CREDITS, 'batch_not_found', 'input_gone', 'storage_unavailable'],
    },
  ];
}
