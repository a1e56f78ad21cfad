import { z } from './openapi-zod.js';
import { EVERYWHERE, READS, WRITES, id } from './described-route.js';
import type { DescribedRoute } from './described-route.js';
import {
  jobAcceptedSchema,
  jobRetrySchema,
  jobStatusSchema,
  jobSubmitSchema,
  recoveryHealthSchema,
  detailedRecoveryStatisticsSchema,
  recoveryStatisticsSchema,
  retriedJobsSchema,
  retryFailedSchema,
} from './error-recovery.js';

const ACCEPTED = { '202': { description: 'Accepted', schema: jobAcceptedSchema } };
const KEY = { 'Idempotency-Key': z.string().min(1).max(255).optional() };
const BODY = ['invalid_json', 'invalid_request', 'unsupported_media_type', 'body_too_large', 'unsafe_number'] as const;
const IDEMPOTENCY = ['invalid_idempotency_key', 'idempotency_in_flight', 'idempotency_mismatch'] as const;

const NO_PLACE = ['queue_full', 'account_queue_full', 'service_stopped', 'insufficient_credits'] as const;

/** R5.10: the same generations in the words of an older system. */
export function errorRecoveryRoutes(): readonly DescribedRoute[] {
  return [...jobRoutes(), ...recoveryDataRoutes()];
}

function jobRoutes(): readonly DescribedRoute[] {
  return [
    {
      method: 'post',
      path: '/api/error-recovery/jobs/submit',
      operationId: 'submitJob',
      summary: 'Accept a graph with a prompt and parameters written into it',
      headers: KEY,
      body: jobSubmitSchema,
      answers: ACCEPTED,
      problems: [
        ...WRITES,
        ...BODY,
        ...IDEMPOTENCY,
        ...(['invalid_graph', 'graph_link_dangling', 'node_class_unknown', 'storage_unavailable'] as const),
        ...(['graphs_disabled', 'graph_refused'] as const),
        ...NO_PLACE,
      ],
    },
    {
      method: 'get',
      path: '/api/error-recovery/jobs/{id}/status',
      operationId: 'getJobStatus',
      summary: 'Read one job with its recoveries',
      params: id,
      answers: { '200': { description: 'The job', schema: jobStatusSchema } },
      problems: [...READS, 'generation_not_found'],
    },
    {
      method: 'post',
      path: '/api/error-recovery/jobs/{id}/retry',
      operationId: 'retryJob',
      summary: 'Accept a failed job once more, as a new one',
      params: id,
      headers: KEY,
      body: jobRetrySchema,
      answers: ACCEPTED,
      problems: [
        ...WRITES,
        ...BODY,
        ...IDEMPOTENCY,
        ...(['generation_not_found', 'generation_not_failed', 'generation_not_retryable'] as const),
        ...(['graphs_disabled', 'graph_refused', 'storage_unavailable'] as const),
        ...NO_PLACE,
      ],
    },
    {
      method: 'post',
      path: '/api/error-recovery/jobs/retry-failed',
      operationId: 'retryFailedJobs',
      summary: 'Accept the oldest failed jobs once more that may succeed now',
      headers: KEY,
      body: retryFailedSchema,
      answers: { '202': { description: 'The new jobs', schema: retriedJobsSchema } },
      problems: [...WRITES, ...BODY, ...IDEMPOTENCY, ...NO_PLACE],
    },
  ];
}

function recoveryDataRoutes(): readonly DescribedRoute[] {
  const hours = z.object({ hours: z.int().min(1).max(8_760).optional().describe('24 unless told.') });
  return [
    ...(['statistics', 'statistics/detailed'] as const).map((path): DescribedRoute => ({
      method: 'get',
      path: `/api/error-recovery/${path}`,
      operationId: path === 'statistics' ? 'getRecoveryStatistics' : 'getDetailedRecoveryStatistics',
      summary: 'How many failures there were, and how many were recovered from',
      query: hours,
      answers: {
        '200': {
          description: 'The statistics',
          schema: path === 'statistics' ? recoveryStatisticsSchema : detailedRecoveryStatisticsSchema,
        },
      },
      problems: [...READS, 'invalid_query', 'statistics_disabled'],
    })),
    {
      method: 'delete',
      path: '/api/error-recovery/cleanup',
      operationId: 'removeCheckpoints',
      summary: 'Remove the checkpoints of jobs that ended longer ago',
      query: hours,
      answers: {
        '200': {
          description: 'How many were removed',
          schema: z.object({ success: z.literal(true), removed_checkpoints: z.int().min(0) }),
        },
      },
      problems: [...WRITES, 'invalid_query'],
    },
    {
      method: 'get',
      path: '/api/error-recovery/health',
      operationId: 'getRecoveryHealth',
      summary: 'Can this process do its work, and are jobs accepted',
      answers: {
        '200': { description: 'Well; `status` says whether jobs are accepted', schema: recoveryHealthSchema },
        '503': { description: 'Database or object store is away', schema: recoveryHealthSchema },
      },
      problems: EVERYWHERE,
    },
  ];
}
