import { Router } from 'express';
import type { VersionInfo } from '../../infra/runtime/version.js';
import type { CheckReadiness } from '../health-checks.js';
import { defineRoute } from './define-route.js';

export interface HealthRoutesDeps {
  readonly version: VersionInfo;
  readonly checkReadiness: CheckReadiness;
}

export function healthRoutes({ version, checkReadiness }: HealthRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/livez', {
    get: (_req, res) => {
      res.set('Cache-Control', 'no-store').json({ status: 'ok', ...version });
    },
  });
  defineRoute(router, '/readyz', {
    get: async (_req, res) => {
      const { isReady, dependencies } = await checkReadiness();
      const isComplete = Object.values(dependencies).every((state) => state === 'ok');
      res
        .status(isReady ? 200 : 503)
        .set('Cache-Control', 'no-store')
        .json({ status: !isReady ? 'unavailable' : isComplete ? 'ok' : 'degraded', dependencies });
    },
  });
  return router;
}
