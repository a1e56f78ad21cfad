import type { RequestHandler, Response } from 'express';
import type { FalParts } from './fal-parts.js';
import type { BadFile } from './faults.js';

/** Files of results; without a key, as those of fal. */
export function fileHandler({ store, faults, journal }: FalParts): RequestHandler {
  return (request, response) => {
    const entry = store.get(String(request.params['requestId']));
    const files = entry?.outcome?.kind === 'succeeded' ? entry.outcome.files : [];
    const file = files.find(({ name }) => name === request.params['name']);
    if (entry === undefined || file === undefined) {
      response.status(404).json({ detail: 'Not Found' });
      return;
    }
    const bytes = store.readFile(entry, file.name);
    const fault = faults.take(['bad_file']);
    journal.write('file_served', {
      requestId: entry.id,
      name: file.name,
      ...(fault !== null && { fault: fault.file }),
    });
    response.status(200).setHeader('Content-Type', file.contentType);
    if (fault === null) response.end(bytes);
    else serveBadly(response, bytes, fault.file);
  };
}

function serveBadly(response: Response, bytes: Buffer, how: BadFile): void {
  const half = bytes.subarray(0, Math.floor(bytes.length / 2));
  switch (how) {
    case 'truncated':
      response.end(half);
      return;
    case 'empty':
      response.end();
      return;
    case 'page':
      response.end('<!DOCTYPE html><title>Error</title>');
      return;
    case 'missing':
      response.status(404).setHeader('Content-Type', 'application/json');
      response.end('{"detail":"Not Found"}');
      return;
    case 'cut':
      response.setHeader('Content-Length', String(bytes.length));
      response.write(half, () => response.socket?.destroy());
  }
}
