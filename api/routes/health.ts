import { Router } from 'express';
import type { VersionInfo } from '../../infra/runtime/version.js';
import type { CheckReadiness, Readiness } from '../health-checks.js';
import type { ReadinessView } from '../schemas/readiness-view.js';
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
      const readiness = await checkReadiness();
      res
        .status(readiness.isReady ? 200 : 503)
        .set('Cache-Control', 'no-store')
        .json({ status: statusOf(readiness), dependencies: readiness.dependencies });
    },
  });
  return router;
}

function statusOf({ isReady, isStopped, dependencies }: Readiness): ReadinessView['status'] {
  if (!isReady) return 'unavailable';
  if (isStopped) return 'stopped';
  return Object.values(dependencies).every((state) => state === 'ok') ? 'ok' : 'degraded';
}
