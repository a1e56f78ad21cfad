import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { isRecord } from '../comfyui/is-record.js';
import type { FalParts } from './fal-parts.js';
import { requestPath } from './fal-request.js';
import type { FalModel, FalOutcome, FalRequest } from './fal-request.js';

/** The four calls of fal's queue. */
export function queueHandlers(parts: FalParts) {
  const { store, runners } = parts;
  const found = (handle: (entry: FalRequest, request: Request, response: Response) => void): RequestHandler => {
    return (request, response) => {
      const { id, owner, app } = request.params;
      const entry = store.get(String(id));
      if (entry !== undefined && entry.model.owner === owner && entry.model.app === app)
        handle(entry, request, response);
      else response.status(404).json({ detail: 'Request not found', status: 'NOT_FOUND' });
    };
  };
  return {
    submit: submitHandler(parts),
    status: found((entry, request, response) => {
      const withLogs = request.query['logs'] === '1';
      response.status(entry.status === 'COMPLETED' ? 200 : 202).json(statusOf(parts, request, { entry, withLogs }));
    }),
    result: found((entry, request, response) => {
      answerResult(entry, request, response);
    }),
    cancel: found((entry, _request, response) => {
      if (runners.cancel(entry)) response.status(202).json({ status: 'CANCELLATION_REQUESTED' });
      else response.status(400).json({ status: 'ALREADY_COMPLETED' });
    }),
  };
}

function submitHandler({ store, faults, journal, runners }: FalParts): RequestHandler {
  return (request, response) => {
    const model = modelOf(request);
    const body: unknown = request.body;
    if (model.path.split('/')[0] === 'requests' || !isRecord(body)) {
      response.status(isRecord(body) ? 405 : 422).json({ detail: 'Method Not Allowed, or the body is no JSON object' });
      return;
    }
    const entry: FalRequest = {
      ...{ id: randomUUID(), model, input: body, submittedAt: new Date().toISOString() },
      ...{ status: 'IN_QUEUE', logs: [], inferenceSeconds: null, outcome: null },
    };
    const position = store.waiting().length;
    store.save(entry);
    journal.write('submitted', { requestId: entry.id, model: request.path.slice(1) });
    runners.fill();
    if (faults.take(['lost_answer']) !== null) {
      request.socket.destroy();
      return;
    }
    response.status(200).json({ status: 'IN_QUEUE', ...addressesOf(request, entry), queue_position: position });
  };
}

function modelOf(request: Request): FalModel {
  const { owner, app, path } = request.params;
  return { owner: String(owner), app: String(app), path: Array.isArray(path) ? path.join('/') : '' };
}

function addressesOf(request: Request, entry: FalRequest) {
  const url = `${originOf(request)}${requestPath(entry)}`;
  return { request_id: entry.id, response_url: url, status_url: `${url}/status`, cancel_url: `${url}/cancel` };
}

function statusOf(
  { store }: FalParts,
  request: Request,
  { entry, withLogs }: { readonly entry: FalRequest; readonly withLogs: boolean },
) {
  const common = { status: entry.status, ...addressesOf(request, entry) };
  if (entry.status === 'IN_QUEUE') {
    return { ...common, queue_position: store.waiting().findIndex(({ id }) => id === entry.id) };
  }
  const logs = withLogs ? entry.logs : null;
  if (entry.status === 'IN_PROGRESS') return { ...common, logs };
  const metrics = { inference_time: entry.inferenceSeconds };
  const failure = entry.outcome?.kind === 'failed' ? entry.outcome : null;
  return {
    ...common,
    logs,
    metrics,
    ...(failure !== null && { error: failure.detail, error_type: failure.errorType }),
  };
}

function answerResult(entry: FalRequest, request: Request, response: Response): void {
  if (entry.outcome === null) {
    response.status(400).json({ detail: 'Request is still in progress' });
    return;
  }
  response.setHeader('x-fal-request-id', entry.id);
  switch (entry.outcome.kind) {
    case 'succeeded':
      response.status(200).json(resultOf(entry, entry.outcome, originOf(request)));
      return;
    case 'refused':
      response.status(422).setHeader('X-Fal-Retryable', 'false');
      response.json({ detail: entry.outcome.detail.map((each) => ({ ...each, input: entry.input })) });
      return;
    case 'failed':
      response.status(entry.outcome.status).setHeader('X-Fal-Error-Type', entry.outcome.errorType);
      response.json({ detail: entry.outcome.detail, error_type: entry.outcome.errorType });
  }
}

function resultOf(entry: FalRequest, outcome: FalOutcome & { kind: 'succeeded' }, origin: string) {
  const images = outcome.files.map(({ name, width, height, contentType, bytes }) => ({
    url: `${origin}/files/${entry.id}/${name}`,
    ...{ width, height, content_type: contentType, file_name: name, file_size: bytes },
  }));
  return {
    images,
    timings: { inference: entry.inferenceSeconds },
    seed: outcome.seed,
    has_nsfw_concepts: images.map(() => false),
    prompt: outcome.prompt,
  };
}

function originOf(request: Request): string {
  return `http://${request.headers.host ?? ''}`;
}
