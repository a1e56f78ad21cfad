import { Router } from 'express';
import type { RecoverySettings } from '../api-config.js';
import { hoursQuerySchema } from '../schemas/hours-query.js';
import { parsedQuery } from '../schemas/parsed-query.js';
import type { ReadStatistics } from '../statistics/read-statistics.js';
import { statisticsView } from '../statistics/statistics-view.js';
import { defineRoute } from './define-route.js';

export interface StatisticsRoutesDeps {
  readonly readStatistics: ReadStatistics;
  readonly recoverySettings: RecoverySettings;
}

export function statisticsRoutes({ readStatistics, recoverySettings }: StatisticsRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/v1/statistics', {
    get: async (req, res) => {
      const { hours } = parsedQuery(hoursQuerySchema, req.query);
      res.json(statisticsView(await readStatistics(hours), recoverySettings));
    },
  });
  return router;
}
