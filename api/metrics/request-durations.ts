import type { Request, RequestHandler } from 'express';
import { Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

const METHODS = ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS'];

/** How long this process took to answer, by the pattern of the route and never by the path that was asked for. */
export function createRequestDurations(registry: Registry): RequestHandler {
  const durations = new Histogram({
    name: 'durable_comfy_http_request_duration_seconds',
    help: 'Answers of this process; streams count until they are closed.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers: [registry],
  });
  return (req, res, next) => {
    const startedAtMs = performance.now();
    res.once('close', () => {
      const method = METHODS.includes(req.method) ? req.method : 'other';
      const labels = { method, route: routeOf(req), status: res.statusCode };
      durations.observe(labels, (performance.now() - startedAtMs) / 1_000);
    });
    next();
  };
}

/** `none` for what no route answers. */
function routeOf(req: Request): string {
  const route = req.route as { readonly path?: unknown } | undefined;
  return typeof route?.path === 'string' ? route.path : 'none';
}
