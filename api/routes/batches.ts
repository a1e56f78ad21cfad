import { Router } from 'express';
import type { Request, Response } from 'express';
import type { AcceptBatch } from '../batches/accept-batch.js';
import type { CancelBatch } from '../batches/cancel-batch.js';
import type { BatchReader } from '../batches/read-batches.js';
import type { RetryBatch } from '../batches/retry-batch.js';
import type { StreamBatch } from '../events/batch-stream.js';
import { idempotencyKeyFrom } from '../generations/idempotency.js';
import { batchListQueryFrom, batchQueryFrom } from '../generations/list-query.js';
import type { GenerationReader } from '../generations/read-generations.js';
import { negotiateLanguage } from '../messages/negotiate-language.js';
import { jsonBodyUpTo } from '../middleware/json-body.js';
import { ProblemError } from '../problem-error.js';
import type { BatchView } from '../schemas/batch-view.js';
import { defineRoute } from './define-route.js';

export interface BatchRoutesDeps {
  readonly acceptBatch: AcceptBatch;
  readonly cancelBatch: CancelBatch;
  readonly retryBatch: RetryBatch;
  readonly batches: BatchReader;
  readonly reader: GenerationReader;
  readonly streamBatch: StreamBatch;
}

/** Ten thousand requests for templates. */
const MAX_BODY_BYTES = 16 * 1_048_576;

export function batchRoutes(deps: BatchRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/v1/batches', {
    post: [jsonBodyUpTo(MAX_BODY_BYTES), async (req, res) => create(deps, req, res)],
    get: async (req, res) => {
      res.json(await deps.batches.list(batchListQueryFrom(req.query)));
    },
  });
  defineRoute(router, '/v1/batches/:id', {
    get: async (req, res) => {
      res.json(await existing(deps, batchIdOf(req)));
    },
    insteadOfDelete: 'To cancel a batch, send POST /v1/batches/{id}/cancel.',
  });
  defineRoute(router, '/v1/batches/:id/generations', {
    get: async (req, res) => {
      const query = batchQueryFrom(req.query);
      const { id } = await existing(deps, batchIdOf(req));
      res.json(await deps.reader.listBatch(id, query, negotiateLanguage(req, res)));
    },
  });
  defineRoute(router, '/v1/batches/:id/events', {
    get: async (req, res) => {
      const id = batchIdOf(req);
      if (req.method === 'HEAD') {
        res.type('text/event-stream').end(); // a stream without bytes would only stay open
        return;
      }
      if (!(await deps.streamBatch(id, res))) throw batchNotFound();
    },
  });
  defineRoute(router, '/v1/batches/:id/cancel', {
    post: [
      async (req, res) => {
        const id = batchIdOf(req);
        const outcome = await deps.cancelBatch(id);
        if (outcome === 'unknown') throw batchNotFound();
        res.status(outcome === 'ended' ? 200 : 202).json(await existing(deps, id));
      },
    ],
  });
  defineRoute(router, '/v1/batches/:id/retry', { post: [async (req, res) => retry(deps, req, res)] });
  return router;
}

async function create({ acceptBatch }: BatchRoutesDeps, req: Request, res: Response): Promise<void> {
  const idempotencyKey = idempotencyKeyFrom(req.get('Idempotency-Key'));
  const { body, isReplay } = await acceptBatch({ body: req.body as unknown, idempotencyKey });
  res.location(`/v1/batches/${/"id":"(bat_[0-9a-f]{32})"/.exec(body)?.[1] ?? ''}`);
  if (isReplay) res.set('Idempotent-Replayed', 'true');
  res.status(202).type('application/json').send(body);
}

async function retry({ retryBatch }: BatchRoutesDeps, req: Request, res: Response): Promise<void> {
  const idempotencyKey = idempotencyKeyFrom(req.get('Idempotency-Key'));
  const answer = await retryBatch({ id: batchIdOf(req), idempotencyKey });
  if (answer === null) throw batchNotFound();
  if (answer.isReplay) res.set('Idempotent-Replayed', 'true');
  res.status(202).type('application/json').send(answer.body);
}

async function existing({ batches }: BatchRoutesDeps, id: string): Promise<BatchView> {
  const view = await batches.read(id);
  if (view === null) throw batchNotFound();
  return view;
}

/** A malformed one names no batch, so it is answered like an unknown one. */
function batchIdOf(req: Request): string {
  const id = req.params['id'];
  if (typeof id === 'string' && /^bat_[0-9a-f]{32}$/.test(id)) return id;
  throw batchNotFound();
}

function batchNotFound(): ProblemError {
  return new ProblemError('batch_not_found', 'No batch has this id.');
}
