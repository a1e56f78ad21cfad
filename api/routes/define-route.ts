import type { IRouter, RequestHandler } from 'express';
import { ProblemError } from '../problem-error.js';

/** The methods of one path; every other method is answered with 405 and what is allowed. */
export interface RouteMethods {
  readonly get?: RequestHandler;
  readonly post?: readonly RequestHandler[];
  readonly delete?: RequestHandler;
  /** What callers who send DELETE want, in a sentence. */
  readonly insteadOfDelete?: string;
}

export function defineRoute(router: IRouter, path: string, methods: RouteMethods): void {
  const route = router.route(path);
  if (methods.get !== undefined) route.get(methods.get);
  if (methods.post !== undefined) route.post(...methods.post);
  if (methods.delete !== undefined) route.delete(methods.delete);
  const allow = [
    ...(methods.get === undefined ? [] : ['GET', 'HEAD']),
    ...(methods.post === undefined ? [] : ['POST']),
    ...(methods.delete === undefined ? [] : ['DELETE']),
    'OPTIONS',
  ].join(', ');
  route.all((req, res) => {
    if (req.method === 'OPTIONS') {
      res.status(204).set('Allow', allow).end();
      return;
    }
    const hint = req.method === 'DELETE' && methods.insteadOfDelete ? ` ${methods.insteadOfDelete}` : '';
    throw new ProblemError('method_not_allowed', `Allowed: ${allow}.${hint}`, { headers: { Allow: allow } });
  });
}
