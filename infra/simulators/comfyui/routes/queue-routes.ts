import type { Request } from 'express';
import { answers, bodyBytes, jsonBody } from '../answers.js';
import { graphsJson } from '../faults/nan-json.js';
import { isRecord } from '../is-record.js';
import { promptTupleOf } from '../prompt-item.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';

/** /queue, /interrupt and /free. */
export function queueRoutes(parts: ServerParts): readonly Route[] {
  const { faults, queue, interrupt, journal, worker } = parts;
  return [
    {
      method: 'GET',
      path: '/queue',
      handle: (request, response) => {
        const running = queue.running === null ? [] : [promptTupleOf(queue.running)];
        const body = { queue_running: running, queue_pending: queue.pending.map(promptTupleOf) };
        answers.jsonText(response, 200, graphsJson(faults, request, body));
      },
    },
    {
      method: 'POST',
      path: '/queue',
      handle: (request, response) => {
        changeQueue(parts, jsonBody(request));
        answers.empty(response);
      },
    },
    {
      method: 'POST',
      path: '/interrupt',
      handle: (request, response) => {
        const target = interruptTarget(request);
        const hits = target === null || queue.running?.promptId === target;
        journal.write('interrupt', { promptId: target, hits });
        if (hits) interrupt.raise();
        answers.empty(response);
      },
    },
    {
      method: 'POST',
      path: '/free',
      handle: (request, response) => {
        const body = jsonBody(request);
        if (!isRecord(body)) throw new TypeError("object has no attribute 'get'");
        worker.free({ freeMemory: Boolean(body['free_memory']), unloadModels: Boolean(body['unload_models']) });
        answers.empty(response);
      },
    },
  ];
}

function changeQueue({ queue, journal }: ServerParts, body: unknown): void {
  const wish = wishFrom(body);
  if (wish.clear) {
    for (const item of queue.clear()) journal.write('queue_deleted', { promptId: item.promptId });
  }
  for (const promptId of wish.delete) {
    if (queue.delete(promptId)) journal.write('queue_deleted', { promptId });
  }
}

/** `{"clear": true}` and `{"delete": [ids]}` of POST /queue and POST /history. */
export function wishFrom(body: unknown): { readonly clear: boolean; readonly delete: readonly string[] } {
  if (body === null || typeof body === 'number' || typeof body === 'boolean') {
    throw new TypeError('argument is not iterable');
  }
  if (!isRecord(body)) return { clear: false, delete: [] };
  const ids = 'delete' in body ? body['delete'] : [];
  if (!Array.isArray(ids)) throw new TypeError('object is not iterable');
  return { clear: Boolean(body['clear']), delete: ids.map(String) };
}

/** `null`: whatever runs. A body that is no JSON counts as none; a list is an error. */
function interruptTarget(request: Request): string | null {
  let body: unknown = {};
  try {
    body = JSON.parse(bodyBytes(request).toString('utf8'));
  } catch {
    return null;
  }
  if (!isRecord(body)) throw new TypeError("object has no attribute 'get'");
  const promptId = body['prompt_id'];
  return typeof promptId === 'string' && promptId !== '' ? promptId : null;
}
