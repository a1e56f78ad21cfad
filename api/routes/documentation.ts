import { Router } from 'express';
import { errorCodeOf, FAILURE_KINDS } from '../../workflows/domain/failure.js';
import { ProblemError } from '../problem-error.js';
import { PROBLEMS } from '../problems.js';
import type { OpenApiDocument } from '../schemas/openapi-document.js';
import { defineRoute } from './define-route.js';

const CODES: ReadonlySet<string> = new Set([...Object.keys(PROBLEMS), ...FAILURE_KINDS.map(errorCodeOf)]);

export interface DocumentationRoutesDeps {
  readonly openApiDocument: OpenApiDocument;
  /** The text of `docs/errors/<code>.md`; `null` when there is no such page. */
  readonly readErrorPage: (code: string) => Promise<string | null>;
}

export function documentationRoutes(deps: DocumentationRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/', {
    get: (_req, res) => {
      res.json({
        name: 'durable-comfy',
        description: 'Durable ComfyUI generation: POST /v1/generations, then follow its url.',
        links: {
          generations: '/v1/generations',
          templates: '/v1/templates',
          backends: '/v1/backends',
          openapi: '/openapi.json',
          alive: '/livez',
          ready: '/readyz',
          metrics: '/metrics',
        },
      });
    },
  });
  defineRoute(router, '/openapi.json', {
    get: (_req, res) => {
      res.json(deps.openApiDocument);
    },
  });
  defineRoute(router, '/docs/errors/:code', {
    get: async (req, res) => {
      const code = String(req.params['code']);
      const page = CODES.has(code) ? await deps.readErrorPage(code) : null;
      if (page === null) throw new ProblemError('route_not_found', 'There is no error of this code.');
      res.type('text/markdown; charset=utf-8').send(page);
    },
  });
  return router;
}
