import type { ErrorRequestHandler, Request, Response } from 'express';
import type { Logger } from '../infra/runtime/logger.js';
import { ObjectStoreError } from '../activities/storage/errors.js';
import { isDatabaseUnavailable, isPoolBusy } from '../infra/postgres/database-unavailable.js';
import { ProblemError } from './problem-error.js';
import { PROBLEMS } from './problems.js';
import { requestIdOf } from './middleware/request-log.js';

const RETRY_AFTER_SECONDS = '5';

/** Only words written for callers leave the process; everything else is logged and becomes a bare 500. */
export function createErrorHandler(logger: Logger): ErrorRequestHandler {
  // eslint-disable-next-line max-params -- Express tells error handlers by their four parameters
  return (error: unknown, req, res, _next) => {
    if (res.headersSent || res.destroyed) {
      logger.warn({ err: error, requestId: requestIdOf(res) }, 'An answer broke off');
      res.destroy();
      return;
    }
    const problem = problemOf(error);
    if (PROBLEMS[problem.code].status >= 500) {
      logger.error({ err: error, code: problem.code, requestId: requestIdOf(res) }, 'Request failed');
    }
    sendProblem(req, res, problem);
  };
}

function problemOf(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  const retry = { headers: { 'Retry-After': RETRY_AFTER_SECONDS } };
  if (error instanceof ObjectStoreError) {
    return new ProblemError('storage_unavailable', 'The object store could not be used for this request.', retry);
  }
  if (isDatabaseUnavailable(error)) {
    const detail = isPoolBusy(error)
      ? 'Other requests used every database connection of the API for 5 s.'
      : 'The database could not be used for this request.';
    return new ProblemError('database_unavailable', detail, retry);
  }
  if (isUndecodablePath(error)) {
    return new ProblemError('route_not_found', 'The path of the address is not valid percent-encoding.');
  }
  return new ProblemError('internal_error', 'The request could not be completed. It has been logged.');
}

/** Express itself refuses `/%ff` while it matches routes (router/lib/layer.js). */
function isUndecodablePath(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'name' in error && error.name === 'URIError';
}

function sendProblem(req: Request, res: Response, problem: ProblemError): void {
  const { status, title, retryable } = PROBLEMS[problem.code];
  res
    .status(status)
    .set(problem.headers)
    .type('application/problem+json')
    .send(
      JSON.stringify({
        type: `/docs/errors/${problem.code}`,
        title,
        status,
        detail: problem.message,
        instance: req.path,
        code: problem.code,
        remedy: problem.remedy,
        retryable,
        ...(problem.places.length > 0 && { errors: problem.places }),
      }),
    );
}
