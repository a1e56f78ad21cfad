import type { RequestHandler } from 'express';
import type { FalParts } from './fal-parts.js';
import { falFaultFrom } from './faults.js';

/** /simulator/…: what fal does not have. Faults to arm, and the journal to read. */
export function adminHandlers({ faults, journal }: FalParts) {
  const list: RequestHandler = (_request, response) => {
    response.json({ faults: faults.list() });
  };
  const arm: RequestHandler = (request, response) => {
    const fault = falFaultFrom(request.body);
    if (typeof fault === 'string') {
      response.status(400).json({ error: fault });
      return;
    }
    faults.arm(fault);
    response.status(201).json({ faults: faults.list() });
  };
  const clear: RequestHandler = (_request, response) => {
    faults.clear();
    response.status(200).end();
  };
  const read: RequestHandler = (_request, response) => {
    response.status(200).setHeader('Content-Type', 'application/x-ndjson; charset=utf-8');
    response.end(journal.text());
  };
  return { list, arm, clear, journal: read };
}
