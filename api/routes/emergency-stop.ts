import { Router } from 'express';
import type { Request, Response } from 'express';
import type { EmergencyStops } from '../emergency/emergency-stops.js';
import { optionalJsonBody } from '../middleware/json-body.js';
import { emergencyStopRequestSchema } from '../schemas/emergency-stop.js';
import type { EmergencyStopAnswer, EmergencyStopView } from '../schemas/emergency-stop.js';
import { parsedBody } from '../schemas/parsed-body.js';
import { defineRoute } from './define-route.js';

export interface EmergencyStopRoutesDeps {
  readonly emergencyStops: EmergencyStops;
}

export function emergencyStopRoutes({ emergencyStops }: EmergencyStopRoutesDeps): Router {
  const router = Router();
  const stopped = async (req: Request): Promise<EmergencyStopView> =>
    emergencyStops.stop(parsedBody(emergencyStopRequestSchema, req.body).reason);
  defineRoute(router, '/v1/emergency-stop', {
    get: async (_req, res) => {
      res.set('Cache-Control', 'no-store').json(await emergencyStops.read());
    },
    post: [
      optionalJsonBody,
      async (req, res) => {
        answer(res, await stopped(req), ({ completedAt }) => completedAt !== null);
      },
    ],
    insteadOfDelete: 'POST /v1/resume ends an emergency stop.',
  });
  defineRoute(router, '/v1/resume', {
    post: [
      async (_req, res) => {
        answer(res, await emergencyStops.resume(), ({ isStopped }) => !isStopped);
      },
    ],
  });
  defineRoute(router, '/api/error-recovery/emergency-stop', {
    post: [
      optionalJsonBody,
      async (req, res) => {
        const view = await stopped(req);
        res.status(view.completedAt === null ? 202 : 200).json(inOldWords(view));
      },
    ],
  });
  return router;
}

function answer(res: Response, view: EmergencyStopView, isDone: (view: EmergencyStopView) => boolean): void {
  res.status(isDone(view) ? 200 : 202).json(view);
}

function inOldWords({ completedAt, report }: EmergencyStopView): EmergencyStopAnswer {
  return {
    success: true,
    status: completedAt === null ? 'stopping' : 'stopped',
    cancelled_jobs: report?.generations.cancelled ?? null,
    still_open_jobs: report?.generations.stillOpen ?? null,
    backends:
      report?.backends.map(({ backendId, gate, isIdle }) => ({ backend_id: backendId, gate, idle: isIdle })) ?? null,
  };
}
