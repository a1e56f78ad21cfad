import express from 'express';
import type { Express, RequestHandler } from 'express';
import helmet from 'helmet';
import type { Logger } from '../infra/runtime/logger.js';
import { createErrorHandler } from './error-handler.js';
import { createOriginGuard } from './middleware/guard-origin.js';
import type { OriginRules } from './middleware/guard-origin.js';
import { createRequestLog } from './middleware/request-log.js';
import { ProblemError } from './problem-error.js';
import { accountRoutes } from './routes/accounts.js';
import type { AccountRoutesDeps } from './routes/accounts.js';
import { backendRoutes } from './routes/backends.js';
import { batchRoutes } from './routes/batches.js';
import type { BatchRoutesDeps } from './routes/batches.js';
import { documentationRoutes } from './routes/documentation.js';
import type { DocumentationRoutesDeps } from './routes/documentation.js';
import { emergencyStopRoutes } from './routes/emergency-stop.js';
import type { EmergencyStopRoutesDeps } from './routes/emergency-stop.js';
import { errorRecoveryRoutes } from './routes/error-recovery.js';
import type { ErrorRecoveryRoutesDeps } from './routes/error-recovery.js';
import { generationEventRoutes } from './routes/generation-events.js';
import { generationOutputRoutes } from './routes/generation-outputs.js';
import type { OutputRoutesDeps } from './routes/generation-outputs.js';
import { generationRoutes } from './routes/generations.js';
import type { GenerationRoutesDeps } from './routes/generations.js';
import { healthRoutes } from './routes/health.js';
import type { HealthRoutesDeps } from './routes/health.js';
import { metricsRoutes } from './routes/metrics.js';
import type { MetricsRoutesDeps } from './routes/metrics.js';
import { statisticsRoutes } from './routes/statistics.js';
import type { StatisticsRoutesDeps } from './routes/statistics.js';
import { templateRoutes } from './routes/templates.js';
import { uploadRoutes } from './routes/uploads.js';
import type { UploadRoutesDeps } from './routes/uploads.js';

const MAX_URL_LENGTH = 4_096;

export type AppDeps = GenerationRoutesDeps &
  BatchRoutesDeps &
  OutputRoutesDeps &
  HealthRoutesDeps &
  MetricsRoutesDeps &
  DocumentationRoutesDeps &
  StatisticsRoutesDeps &
  ErrorRecoveryRoutesDeps &
  EmergencyStopRoutesDeps &
  AccountRoutesDeps &
  UploadRoutesDeps &
  Parameters<typeof generationEventRoutes>[0] &
  Parameters<typeof templateRoutes>[0] &
  Parameters<typeof backendRoutes>[0] & {
    readonly logger: Logger;
    readonly origin: OriginRules;
    readonly observeRequests: RequestHandler;
  };

/** The whole HTTP interface; no CORS, so that pages of other sites cannot read it. */
export function createApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag'); // answers change every second; outputs bring their own
  app.set('query parser', 'simple');
  app.use(createRequestLog(deps.logger), deps.observeRequests, securityHeaders(), refuseLongAddresses);
  app.use(createOriginGuard(deps.origin));
  for (const routes of [
    documentationRoutes(deps),
    healthRoutes(deps),
    metricsRoutes(deps),
    templateRoutes(deps),
    backendRoutes(deps),
    uploadRoutes(deps),
    generationRoutes(deps),
    batchRoutes(deps),
    statisticsRoutes(deps),
    errorRecoveryRoutes(deps),
    emergencyStopRoutes(deps),
    accountRoutes(deps),
    generationEventRoutes(deps),
    generationOutputRoutes(deps),
  ]) {
    app.use(routes);
  }
  app.use(() => {
    throw new ProblemError('route_not_found', 'Nothing is answered at this path.');
  });
  app.use(createErrorHandler(deps.logger));
  return app;
}

function securityHeaders(): RequestHandler {
  return helmet({
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    strictTransportSecurity: false, // plain HTTP on loopback; a proxy that ends TLS sets it
    referrerPolicy: { policy: 'no-referrer' },
  });
}

const refuseLongAddresses: RequestHandler = (req, _res, next) => {
  if (req.url.length > MAX_URL_LENGTH) {
    throw new ProblemError('uri_too_long', `The address has more than ${MAX_URL_LENGTH} characters.`);
  }
  next();
};
