import { Router } from 'express';
import type { Request, Response } from 'express';
import type { WaitForEnd } from '../events/wait-for-end.js';
import type { AcceptGeneration } from '../generations/accept-generation.js';
import type { Acceptance } from '../generations/commit-generation.js';
import type { CancelGeneration } from '../../activities/database/cancel-generation.js';
import { idempotencyKeyFrom } from '../generations/idempotency.js';
import { listQueryFrom } from '../generations/list-query.js';
import type { RetryGeneration } from '../generations/retry-generation.js';
import type { GenerationReader } from '../generations/read-generations.js';
import type { Language } from '../messages/messages.js';
import { negotiateLanguage } from '../messages/negotiate-language.js';
import { jsonBody } from '../middleware/json-body.js';
import type { GenerationView } from '../schemas/generation-view.js';
import { defineRoute } from './define-route.js';
import { generationIdOf, generationNotFound } from './generation-id.js';
import { waitSecondsFrom } from './prefer-wait.js';

export interface GenerationRoutesDeps {
  readonly acceptGeneration: AcceptGeneration;
  readonly cancelGeneration: CancelGeneration;
  readonly retryGeneration: RetryGeneration;
  readonly reader: GenerationReader;
  readonly waitForEnd: WaitForEnd;
}

export function generationRoutes(deps: GenerationRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/v1/generations', {
    post: [jsonBody, async (req, res) => create(deps, req, res)],
    get: async (req, res) => {
      res.json(await deps.reader.list(listQueryFrom(req.query), negotiateLanguage(req, res)));
    },
  });
  defineRoute(router, '/v1/generations/:id', {
    get: async (req, res) => {
      res.json(await existing(deps, generationIdOf(req), negotiateLanguage(req, res)));
    },
    insteadOfDelete: 'To cancel a generation, send POST /v1/generations/{id}/cancel.',
  });
  defineRoute(router, '/v1/generations/:id/cancel', {
    post: [
      async (req, res) => {
        const id = generationIdOf(req);
        const outcome = await deps.cancelGeneration(id);
        if (outcome === 'unknown') throw generationNotFound();
        res.status(outcome === 'ended' ? 200 : 202).json(await existing(deps, id, negotiateLanguage(req, res)));
      },
    ],
  });
  defineRoute(router, '/v1/generations/:id/retry', {
    post: [async (req, res) => retry(deps, req, res)],
  });
  return router;
}

async function retry(deps: GenerationRoutesDeps, req: Request, res: Response): Promise<void> {
  const idempotencyKey = idempotencyKeyFrom(req.get('Idempotency-Key'));
  const language = negotiateLanguage(req, res);
  const acceptance = await deps.retryGeneration({ id: generationIdOf(req), idempotencyKey, language });
  if (acceptance === null) throw generationNotFound();
  answerAccepted(res, acceptance);
}

/** Where the generation is, and the answer that it was accepted with. */
function answerAccepted(res: Response, { generationId, body, isReplay }: Acceptance): void {
  res.location(`/v1/generations/${generationId}`);
  if (isReplay) res.set('Idempotent-Replayed', 'true');
  res.status(202).type('application/json').send(body);
}

async function create(deps: GenerationRoutesDeps, req: Request, res: Response): Promise<void> {
  const idempotencyKey = idempotencyKeyFrom(req.get('Idempotency-Key'));
  const language = negotiateLanguage(req, res);
  const asked = { body: req.body as unknown, idempotencyKey, language };
  const acceptance = await deps.acceptGeneration(asked);
  const { generationId, isReplay } = acceptance;
  const waitSeconds = waitSecondsFrom(req.get('Prefer'));
  if (waitSeconds !== null && !isReplay) {
    res.set('Preference-Applied', `wait=${waitSeconds}`);
    if (await endsWithin(deps, { generationId, waitSeconds, res })) {
      res.location(`/v1/generations/${generationId}`).json(await existing(deps, generationId, language));
      return;
    }
  }
  answerAccepted(res, acceptance);
}

async function endsWithin(
  deps: GenerationRoutesDeps,
  wait: { readonly generationId: string; readonly waitSeconds: number; readonly res: Response },
): Promise<boolean> {
  const gone = new AbortController();
  wait.res.once('close', () => {
    gone.abort(); // nobody reads the answer any more; the generation goes on
  });
  return deps.waitForEnd(wait.generationId, wait.waitSeconds * 1000, gone.signal);
}

async function existing(deps: GenerationRoutesDeps, ...[id, language]: [string, Language]): Promise<GenerationView> {
  const view = await deps.reader.read(id, language);
  if (view === null) throw generationNotFound();
  return view;
}
