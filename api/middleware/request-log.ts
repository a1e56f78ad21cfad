import { randomUUID } from 'node:crypto';
import type { RequestHandler, Response } from 'express';
import type { Logger } from '../../infra/runtime/logger.js';

/** One line a request: method, path, status and time. No query, no body: prompts are private. */
export function createRequestLog(logger: Logger): RequestHandler {
  return (req, res, next) => {
    const requestId = randomUUID();
    const startedAt = performance.now();
    const path = req.path;
    res.setHeader('X-Request-Id', requestId);
    res.once('close', () => {
      const ms = Math.round(performance.now() - startedAt);
      logger.info({ requestId, method: req.method, path, status: res.statusCode, ms }, 'Answered');
    });
    next();
  };
}

/** The id that the caller sees in `X-Request-Id` and an operator in the log. */
export function requestIdOf(res: Response): string {
  return String(res.getHeader('X-Request-Id') ?? '');
}
