import express from 'express';
import type { ErrorRequestHandler, Express, RequestHandler } from 'express';
import type { Logger } from '../../runtime/logger.js';
import { answers } from './answers.js';
import { faultyRequests } from './faults/http-faults.js';
import type { Route } from './route.js';
import { adminRoutes } from './routes/admin-routes.js';
import { catalogueRoutes } from './routes/catalogue-routes.js';
import { fileRoutes } from './routes/file-routes.js';
import { historyRoutes } from './routes/history-routes.js';
import { jobCancelRoutes } from './routes/job-cancel-routes.js';
import { jobRoutes } from './routes/job-routes.js';
import { promptRoutes } from './routes/prompt-routes.js';
import { queueRoutes } from './routes/queue-routes.js';
import { systemRoutes } from './routes/system-routes.js';
import { uploadRoutes } from './routes/upload-routes.js';
import { vramRoutes } from './routes/vram-routes.js';
import { maxUploadBytes } from './server-features.js';
import type { ServerParts } from './server-parts.js';

const METHOD_NOT_ALLOWED = '405: Method Not Allowed';

/** The HTTP side: every route at `/x` and `/api/x`, and aiohttp's own answers for everything else. */
export function createApp(parts: ServerParts, logger: Logger): Express {
  const limitBytes = maxUploadBytes(parts.options);
  const app = express();
  app.set('x-powered-by', false).set('etag', false).set('strict routing', true).set('case sensitive routing', true);
  app.use(express.raw({ type: () => true, limit: limitBytes }));
  app.use(faultyRequests(parts.faults));
  mount(app, [
    ...promptRoutes(parts),
    ...queueRoutes(parts),
    ...historyRoutes(parts),
    ...jobRoutes(parts),
    ...jobCancelRoutes(parts),
    ...fileRoutes(parts),
    ...uploadRoutes(parts),
    ...catalogueRoutes(parts),
    ...systemRoutes(parts),
    ...adminRoutes(parts),
    ...vramRoutes(parts),
  ]);
  app.use((request, response) => {
    if (request.method === 'OPTIONS') answers.empty(response);
    else if (request.method === 'GET' || request.method === 'HEAD') answers.bare(response, 404);
    else answers.text(response, 405, METHOD_NOT_ALLOWED); // what is no route is looked for among the static files
  });
  app.use(errorHandler(limitBytes, logger));
  return app;
}

function mount(app: Express, routes: readonly Route[]): void {
  for (const route of routes) {
    for (const path of pathsOf(route.path)) {
      const handler: RequestHandler = (request, response) => route.handle(request, response);
      if (route.method === 'GET') app.get(path, handler);
      else if (route.method === 'POST') app.post(path, handler);
      else app.delete(path, handler);
    }
  }
  const paths = new Set(routes.flatMap(({ path }) => pathsOf(path)));
  for (const path of paths) {
    app.all(path, (request, response) => {
      if (request.method === 'OPTIONS') answers.empty(response);
      else answers.text(response, 405, METHOD_NOT_ALLOWED);
    });
  }
}

function pathsOf(path: string): readonly string[] {
  return path.startsWith('/api/') || path.startsWith('/simulator/') || path === '/' ? [path] : [path, `/api${path}`];
}

function errorHandler(limitBytes: number, logger: Logger): ErrorRequestHandler {
  // eslint-disable-next-line max-params -- Express knows an error handler by its four parameters
  return (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    if (isTooLarge(error)) {
      request.resume(); // what is still on its way must be read, or the client sees a reset instead of the answer
      answers.text(response, 413, `Maximum request body size ${limitBytes} exceeded.`);
      return;
    }
    logger.debug({ error, path: request.path }, 'Answered 500');
    answers.trouble(response);
  };
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'type' in error && error.type === 'entity.too.large';
}
