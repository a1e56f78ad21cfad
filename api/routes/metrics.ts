import { Router } from 'express';
import { defineRoute } from './define-route.js';

export interface MetricsRoutesDeps {
  /** Never fails. */
  readonly renderMetrics: () => Promise<string>;
}

/** Prometheus' text format, version 0.0.4. */
const TEXT_FORMAT = 'text/plain; version=0.0.4; charset=utf-8';

export function metricsRoutes({ renderMetrics }: MetricsRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/metrics', {
    get: async (_req, res) => {
      res.set({ 'Cache-Control': 'no-store', 'Content-Type': TEXT_FORMAT }).end(await renderMetrics());
    },
  });
  return router;
}
