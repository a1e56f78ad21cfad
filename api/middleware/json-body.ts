import { raw } from 'express';
import type { Request, RequestHandler } from 'express';
import { ProblemError } from '../problem-error.js';
import { jsonErrorPosition } from './json-error-position.js';
import { findUnusableValues } from './unusable-values.js';

/** A graph of 500 nodes is far below this. */
const MAX_BODY_BYTES = 1024 * 1024;

const EMPTY_REMEDY = 'Send a JSON object with `template` or `graph`.';

/** Reads a JSON body exactly: what JSON.parse would change silently, or what cannot be stored, is refused with its place. */
export const jsonBody: RequestHandler = jsonBodyUpTo(MAX_BODY_BYTES);

/** The same with another limit. */
export function jsonBodyUpTo(maxBytes: number): RequestHandler {
  const readBytes = raw({ limit: maxBytes, type: () => true, inflate: false });
  return (req, res, next) => {
    if (!isJson(req)) throw new ProblemError('unsupported_media_type', contentTypeDetail(req));
    readBytes(req, res, (error: unknown) => {
      if (error !== undefined && error !== null) {
        next(translated(error, maxBytes));
        return;
      }
      try {
        req.body = parseBody(req.body);
        next();
      } catch (refusal) {
        next(refusal); // this callback runs outside of Express
      }
    });
  };
}

/** For routes that work without a body, too: then it is an empty object. */
export const optionalJsonBody: RequestHandler = (req, res, next) => {
  const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
  if (hasBody) {
    jsonBody(req, res, next);
    return;
  }
  req.body = {};
  next();
};

function isJson(req: Request): boolean {
  const type = req.headers['content-type'] ?? '';
  const charset = /charset="?([\w-]+)/i.exec(type)?.[1] ?? 'utf-8';
  return /^application\/json\s*(;|$)/i.test(type) && /^utf-?8$/i.test(charset);
}

function contentTypeDetail(req: Request): string {
  return req.headers['content-type'] === undefined
    ? 'The request has no Content-Type header.'
    : 'The Content-Type of the request is not application/json in UTF-8.';
}

function translated(error: unknown, maxBytes: number): unknown {
  const type = typeof error === 'object' && error !== null && 'type' in error ? error.type : null;
  switch (type) {
    case 'entity.too.large':
      return new ProblemError('body_too_large', `The body has more than ${maxBytes} bytes.`, {
        headers: { Connection: 'close' }, // the rest of the body is not read
      });
    case 'encoding.unsupported':
      return new ProblemError('unsupported_media_type', 'The request has a Content-Encoding.');
    case 'request.aborted':
    case 'request.size.invalid':
      return new ProblemError('invalid_json', 'The body ended before its Content-Length.');
    default:
      return error;
  }
}

function parseBody(body: unknown): unknown {
  const text = decode(Buffer.isBuffer(body) ? body : Buffer.alloc(0));
  const value = parseText(text);
  const unusable = findUnusableValues(value);
  if (unusable.length > 0) {
    const isNumeric = unusable.every(({ kind }) => kind === 'number');
    const places = unusable.map(({ pointer, message }) => ({ pointer, message, ...nodeOf(pointer) }));
    const detail = isNumeric ? unsafeNumbersDetail(places.length) : 'The body holds values that cannot be stored.';
    throw new ProblemError(isNumeric ? 'unsafe_number' : 'invalid_request', detail, { places });
  }
  return value;
}

function unsafeNumbersDetail(count: number): string {
  return count === 1
    ? 'One number of the body would not arrive as it was sent.'
    : `${count} numbers of the body would not arrive as they were sent.`;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ProblemError('invalid_json', 'The body is not UTF-8.');
  }
}

function parseText(text: string): unknown {
  if (/^[ \t\n\r]*$/.test(text)) throw new ProblemError('invalid_json', 'The body is empty.', { remedy: EMPTY_REMEDY });
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const position = jsonErrorPosition(text);
    const before = text.slice(0, position).split('\n');
    const column = (before.at(-1)?.length ?? 0) + 1;
    const what = position >= text.length ? 'ends too early' : 'cannot be read';
    throw new ProblemError(
      'invalid_json',
      `The body ${what} at position ${position} (line ${before.length}, column ${column}).`,
    );
  }
}

function nodeOf(pointer: string): { readonly nodeId?: string } {
  const nodeId = /^\/graph\/([^/]+)/.exec(pointer)?.[1];
  return nodeId === undefined ? {} : { nodeId };
}
