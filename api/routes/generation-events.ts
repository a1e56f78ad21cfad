import { Router } from 'express';
import type { Request } from 'express';
import type { StreamGeneration } from '../events/generation-stream.js';
import { negotiateLanguage } from '../messages/negotiate-language.js';
import { ProblemError } from '../problem-error.js';
import { defineRoute } from './define-route.js';
import { generationIdOf, generationNotFound } from './generation-id.js';

export function generationEventRoutes(deps: { readonly streamGeneration: StreamGeneration }): Router {
  const router = Router();
  defineRoute(router, '/v1/generations/:id/events', {
    get: async (req, res) => {
      if (req.method === 'HEAD') {
        res.type('text/event-stream').end(); // a stream without bytes would only stay open
        return;
      }
      const request = { generationId: generationIdOf(req), after: lastEventIdOf(req), res };
      const isKnown = await deps.streamGeneration({ ...request, language: negotiateLanguage(req, res) });
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
