import type { Request } from 'express';
import { answers, bodyBytes } from '../answers.js';
import { isCanonicalUuid } from '../canonical-uuid.js';
import { isRecord } from '../is-record.js';
import { pythonRepr } from '../python-text.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';

/** Stops jobs whatever they are doing (since June 2026); one that is over or unknown is no error. */
export function jobCancelRoutes(parts: ServerParts): readonly Route[] {
  if (parts.options.version.jobs !== 'cancel') return [];
  return [
    {
      method: 'POST',
      path: '/api/jobs/cancel',
      handle: (request, response) => {
        const wish = wishFrom(request);
        if ('error' in wish) answers.json(response, 400, wish);
        else answers.json(response, 200, { cancelled: wish.map((jobId) => cancel(parts, jobId)).includes(true) });
      },
    },
    {
      method: 'POST',
      path: '/api/jobs/:jobId/cancel',
      handle: (request, response) => {
        answers.json(response, 200, { cancelled: cancel(parts, String(request.params['jobId'])) });
      },
    },
  ];
}

/**
 * Whether there was anything to cancel. @NOTE the flag of a running prompt is the same as that of /interrupt: one that
 * comes before execution has begun is lost, although the answer says `true`.
 */
function cancel({ queue, interrupt, journal }: ServerParts, promptId: string): boolean {
  if (queue.running?.promptId === promptId) {
    journal.write('interrupt', { promptId, hits: true, by: 'cancel' });
    interrupt.raise();
    return true;
  }
  const isRemoved = queue.delete(promptId);
  if (isRemoved) journal.write('queue_deleted', { promptId, by: 'cancel' });
  return isRemoved;
}

type Wish = readonly string[] | { readonly error: string; readonly invalid_ids?: readonly string[] };

function wishFrom(request: Request): Wish {
  let body: unknown;
  try {
    body = JSON.parse(bodyBytes(request).toString('utf8'));
  } catch {
    return { error: 'Request body must be valid JSON' };
  }
  const ids = isRecord(body) ? body['job_ids'] : undefined;
  if (!Array.isArray(ids)) return { error: 'job_ids must be a list' };
  const invalid = ids.filter((id) => !isCanonicalUuid(id));
  if (invalid.length === 0) return ids.filter(isCanonicalUuid);
  const shown = invalid.map((id) => (typeof id === 'string' ? id : pythonRepr(id)));
  return { error: 'job_ids contains invalid id(s)', invalid_ids: shown };
}
