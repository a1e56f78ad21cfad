import { Router } from 'express';
import type { BackendDirectory, KnownBackend } from '../backends/backend-directory.js';
import type { BackendView } from '../schemas/backend-view.js';
import { defineRoute } from './define-route.js';

export function backendRoutes(deps: { readonly directory: BackendDirectory }): Router {
  const router = Router();
  defineRoute(router, '/v1/backends', {
    get: async (_req, res) => {
      res.json({ backends: (await deps.directory.backends()).map(backendView) });
    },
  });
  return router;
}

function backendView({ isFresh, capabilitiesKey: _, ...shown }: KnownBackend): BackendView {
  return { ...shown, state: isFresh ? 'fresh' : 'stale' };
}
