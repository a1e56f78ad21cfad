import { Router } from 'express';
import type { RequestHandler } from 'express';
import type { BackendDirectory, KnownBackend } from '../backends/backend-directory.js';
import type { BackendCommand, CommandBackend } from '../backends/command-backend.js';
import type { BackendCommandView, BackendView } from '../schemas/backend-view.js';
import { defineRoute } from './define-route.js';

export interface BackendRoutesDeps {
  readonly directory: BackendDirectory;
  readonly commandBackend: CommandBackend;
}

export function backendRoutes(deps: BackendRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/v1/backends', {
    get: async (_req, res) => {
      res.json({ backends: (await deps.directory.backends()).map(backendView) });
    },
  });
  for (const command of ['drain', 'resume'] as const) {
    defineRoute(router, `/v1/backends/:id/${command}`, { post: [commanding(deps, command)] });
  }
  return router;
}

function commanding({ commandBackend }: BackendRoutesDeps, requested: BackendCommand): RequestHandler {
  return async (req, res) => {
    const backendId = String(req.params['id']);
    await commandBackend(backendId, requested);
    const view: BackendCommandView = { backendId, requested };
    res.status(202).json(view);
  };
}

function backendView({ isFresh, capabilitiesKey: _, ...shown }: KnownBackend): BackendView {
  return { ...shown, state: isFresh ? 'fresh' : 'stale' };
}
