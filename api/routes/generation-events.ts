import { Router } from 'express';
import type { Request } from 'express';
import type { EventStreams } from '../events/event-streams.js';
import { ProblemError } from '../problem-error.js';
import { defineRoute } from './define-route.js';
import { generationIdOf, generationNotFound } from './generation-id.js';

export function generationEventRoutes(deps: { readonly streams: EventStreams }): Router {
  const router = Router();
  defineRoute(router, '/v1/generations/:id/events', {
    get: async (req, res) => {
      if (req.method === 'HEAD') {
        res.type('text/event-stream').end(); // a stream without bytes would only stay open
        return;
      }
      const isKnown = await deps.streams.open(generationIdOf(req), lastEventIdOf(req), res);
      if (!isKnown) throw generationNotFound();
    },
  });
  return router;
}

/** A reconnecting EventSource sends the header; `?after=` is for callers that cannot set one. */
function lastEventIdOf(req: Request): number {
  const text = req.get('Last-Event-ID') ?? req.query['after'] ?? '0';
  if (typeof text === 'string' && /^\d{1,9}$/.test(text)) return Number(text);
  throw new ProblemError('invalid_query', 'Last-Event-ID or after is not the number of an event.', {
    places: [{ pointer: '?after', message: 'must be a whole number from 0' }],
  });
}
