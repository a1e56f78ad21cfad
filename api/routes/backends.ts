import { Router } from 'express';
import type { Request, RequestHandler } from 'express';
import { routeThatEnds } from '../../workflows/domain/backend-gate.js';
import type { BackendDirectory, KnownBackend } from '../backends/backend-directory.js';
import type { BackendCommand, CommandBackend } from '../backends/command-backend.js';
import { optionalJsonBody } from '../middleware/json-body.js';
import { quarantineRequestSchema } from '../schemas/backend-view.js';
import type { BackendCommandView, BackendView } from '../schemas/backend-view.js';
import { parsedBody } from '../schemas/parsed-body.js';
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
    defineRoute(router, `/v1/backends/:id/${command}`, { post: [commanding(deps, () => ({ command }))] });
  }
  defineRoute(router, '/v1/backends/:id/quarantine', {
    post: [
      optionalJsonBody,
      commanding(deps, (req) => {
        const { reason = null } = parsedBody(quarantineRequestSchema, req.body);
        return { command: 'quarantine', reason };
      }),
    ],
  });
  return router;
}

function commanding(
  { commandBackend }: BackendRoutesDeps,
  commandIn: (req: Request) => BackendCommand,
): RequestHandler {
  return async (req, res) => {
    const backendId = String(req.params['id']);
    const command = commandIn(req);
    await commandBackend(backendId, command);
    const view: BackendCommandView = { backendId, requested: command.command };
    res.status(202).json(view);
  };
}

function backendView(backend: KnownBackend): BackendView {
  // What is counted is shown by /metrics.
  const { isFresh, gateHolds = [], capabilitiesKey: _key, usage: _usage, disk: _disk, ...shown } = backend;
  const holds = gateHolds.map((hold) => ({ ...hold, endedBy: routeThatEnds(hold, backend.backendId) }));
  return { ...shown, gateHolds: holds, state: isFresh ? 'fresh' : 'stale' };
}
