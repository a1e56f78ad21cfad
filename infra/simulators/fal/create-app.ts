import express from 'express';
import type { ErrorRequestHandler, Express, RequestHandler } from 'express';
import type { Logger } from '../../runtime/logger.js';
import { adminHandlers } from './admin-handlers.js';
import { fileHandler } from './file-handler.js';
import type { FalParts } from './fal-parts.js';
import type { FalCall } from './faults.js';
import { queueHandlers } from './queue-handlers.js';

/** A picture may come along as a data URI. */
const MAX_BODY = '64mb';

/** The HTTP side: fal's queue, the files of results, and /simulator/… for faults and the journal. */
export function createFalApp(parts: FalParts, logger: Logger): Express {
  const app = express();
  app.set('x-powered-by', false).set('etag', false);
  app.use(express.json({ type: () => true, limit: MAX_BODY }));
  const admin = adminHandlers(parts);
  app
    .get('/simulator/faults', admin.list)
    .post('/simulator/faults', admin.arm)
    .delete('/simulator/faults', admin.clear);
  app.get('/simulator/journal', admin.journal);
  app.get('/files/:requestId/:name', fileHandler(parts));

  const queue = queueHandlers(parts);
  const call = (name: FalCall, handler: RequestHandler) => [keyCheck(parts), refusal(parts, name), handler];
  app.get('/:owner/:app/requests/:id/status', call('status', queue.status));
  app.get('/:owner/:app/requests/:id', call('result', queue.result));
  app.put('/:owner/:app/requests/:id/cancel', call('cancel', queue.cancel));
  app.post('/:owner/:app{/*path}', call('submit', queue.submit));
  app.use((_request, response) => {
    response.status(404).json({ detail: 'Not Found' });
  });
  app.use(errorHandler(logger));
  return app;
}

function keyCheck({ key }: FalParts): RequestHandler {
  return (request, response, next) => {
    const header = request.headers.authorization;
    if (header === `Key ${key}`) next();
    else if (header?.startsWith('Key ') === true) response.status(403).json({ detail: 'This key is not valid' });
    else response.status(401).json({ detail: 'Authentication is required to access this application' });
  };
}

function refusal({ faults }: FalParts, call: FalCall): RequestHandler {
  return (_request, response, next) => {
    const fault = faults.take(['429', '5xx'], call);
    if (fault === null) {
      next();
      return;
    }
    const { retryAfterSeconds } = fault;
    if (retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(retryAfterSeconds));
    if (fault.kind === '429') response.status(429).json({ detail: 'Too many requests (simulated)' });
    else response.status(fault.status).type('text/html').send('<html>upstream trouble (simulated)</html>');
  };
}

function errorHandler(logger: Logger): ErrorRequestHandler {
  // eslint-disable-next-line max-params -- Express knows an error handler by its four parameters
  return (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const status = error instanceof Error && 'status' in error && typeof error.status === 'number' ? error.status : 500;
    logger.debug({ error, path: request.path }, `Answered ${status}`);
    response.status(status).json({ detail: status === 500 ? 'Internal Server Error' : 'The body is no JSON' });
  };
}
