import { answers, jsonBody } from '../answers.js';
import { faultFrom } from '../faults/fault-from.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';

/** /simulator/…: what ComfyUI does not have. Faults to arm, and the journal to read. */
export function adminRoutes({ faults, journal }: ServerParts): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/simulator/faults',
      handle: (_request, response) => {
        answers.json(response, 200, { faults: faults.list() });
      },
    },
    {
      method: 'POST',
      path: '/simulator/faults',
      handle: (request, response) => {
        const fault = faultFrom(jsonBody(request));
        if (typeof fault === 'string') {
          answers.json(response, 400, { error: fault });
          return;
        }
        faults.arm(fault);
        answers.json(response, 201, { faults: faults.list() });
      },
    },
    {
      method: 'DELETE',
      path: '/simulator/faults',
      handle: (_request, response) => {
        faults.clear();
        answers.empty(response);
      },
    },
    {
      method: 'GET',
      path: '/simulator/journal',
      handle: (_request, response) => {
        response.status(200).setHeader('Content-Type', 'application/x-ndjson; charset=utf-8');
        response.end(journal.text());
      },
    },
  ];
}
