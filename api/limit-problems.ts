import type { ProblemKind } from './problem-kind.js';

/** What is wrong with a request for its account or its number. */
export const LIMIT_PROBLEMS = {
  priority_not_allowed: {
    status: 403,
    title: 'The account may not use this priority',
    remedy: 'Ask for the best priority that errors allows, or leave it out.',
    retryable: false,
  },
  batch_not_found: {
    status: 404,
    title: 'There is no such batch',
    remedy: 'Check the id; GET /v1/batches lists those that exist.',
    retryable: false,
  },
  invalid_batch: {
    status: 422,
    title: 'Generations of the batch cannot be accepted',
    remedy: 'Correct the places listed in errors; nothing of the batch was accepted.',
    retryable: false,
  },
  account_queue_full: {
    status: 429,
    title: 'Too many generations of the account are open',
    remedy:
      'Try again after the seconds of Retry-After. Operators: MAX_OPEN_PER_ACCOUNT, or the limits of the account.',
    retryable: true,
  },
} as const satisfies Record<string, ProblemKind>;
