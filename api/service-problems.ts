import type { ProblemKind } from './problem-kind.js';

/** What is wrong with this service or with what it needs, not with the request. */
export const SERVICE_PROBLEMS = {
  internal_error: {
    status: 500,
    title: 'Something went wrong in this service',
    remedy: 'Try again; if it happens again, look for the X-Request-Id of the answer in the log of the API.',
    retryable: true,
  },
  database_unavailable: {
    status: 503,
    title: 'The database does not answer',
    remedy:
      'Send the same request again after the seconds in Retry-After, with the same Idempotency-Key. Operators: GET /readyz.',
    retryable: true,
  },
  storage_unavailable: {
    status: 503,
    title: 'The object store does not answer',
    remedy: 'Try again shortly. Operators: GET /readyz says more.',
    retryable: true,
  },
  temporal_unavailable: {
    status: 503,
    title: 'Temporal does not answer',
    remedy: 'Try again shortly; nothing was changed, or it was and may be repeated. Operators: GET /readyz says more.',
    retryable: true,
  },
  service_stopped: {
    status: 503,
    title: 'The service is stopped',
    remedy: 'Try again when it has been resumed. Operators: GET /v1/emergency-stop says why; POST /v1/resume ends it.',
    retryable: true,
  },
  queue_full: {
    status: 503,
    title: 'Too many generations are waiting',
    remedy: 'Try again later, or raise MAX_OPEN_GENERATIONS.',
    retryable: true,
  },
  too_many_streams: {
    status: 503,
    title: 'Too many event streams are open',
    remedy: 'Close streams that nobody reads, or ask for the generation instead.',
    retryable: true,
  },
} as const satisfies Record<string, ProblemKind>;
