import { answers, jsonBody, queryInteger } from '../answers.js';
import { graphsJson } from '../faults/nan-json.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';
import { wishFrom } from './queue-routes.js';

/** /history; an id that is unknown, pending or running is 200 with `{}`. */
export function historyRoutes({ faults, history }: ServerParts): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/history',
      handle: (request, response) => {
        const entries = history.slice(queryInteger(request, 'max_items'), queryInteger(request, 'offset'));
        answers.jsonText(response, 200, graphsJson(faults, request, Object.fromEntries(entries)));
      },
    },
    {
      method: 'GET',
      path: '/history/:promptId',
      handle: (request, response) => {
        const promptId = String(request.params['promptId']);
        const entry = history.get(promptId);
        const body = entry === undefined ? {} : { [promptId]: entry };
        answers.jsonText(response, 200, graphsJson(faults, request, body));
      },
    },
    {
      method: 'POST',
      path: '/history',
      handle: (request, response) => {
        const wish = wishFrom(jsonBody(request));
        if (wish.clear) history.clear();
        for (const promptId of wish.delete) history.delete(promptId);
        answers.empty(response);
      },
    },
  ];
}
