import type { Request, Response } from 'express';

/** The answers aiohttp gives on its own (ComfyUI 0.8.0): clients have come to know them. */
export const answers = {
  /** Success with nothing to say: no body, no Content-Type. */
  empty: (response: Response) => {
    response.status(200).setHeader('Content-Length', '0');
    response.end();
  },

  /** A bare status: an empty body that still has a type. */
  bare: (response: Response, status: number) => {
    response.status(status).setHeader('Content-Type', 'application/octet-stream');
    response.setHeader('Content-Length', '0');
    response.end();
  },

  text: (response: Response, status: number, text: string) => {
    response.status(status).setHeader('Content-Type', 'text/plain; charset=utf-8');
    response.end(text);
  },

  /** An exception in a handler: a malformed body, too, so a 500 does not prove a passing fault. */
  trouble: (response: Response) => {
    answers.text(response, 500, '500 Internal Server Error\n\nServer got itself in trouble');
  },

  json: (response: Response, status: number, body: unknown) => {
    answers.jsonText(response, status, jsonTextOf(body));
  },

  jsonText: (response: Response, status: number, text: string) => {
    response.status(status).setHeader('Content-Type', 'application/json; charset=utf-8');
    response.end(text);
  },
} as const;

export function jsonTextOf(body: unknown): string {
  // 2^64−1, the largest seed, is not a double: JSON.stringify would write what it was rounded to.
  return JSON.stringify(body).replaceAll(':18446744073709552000', ':18446744073709551615');
}

/** The JSON a request carries, whatever Content-Type it claims; throws when there is none. */
export function jsonBody(request: Request): unknown {
  return JSON.parse(bodyBytes(request).toString('utf8'));
}

export function bodyBytes(request: Request): Buffer {
  const body: unknown = request.body;
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
}

/** The last value of a query parameter, or `null`. */
export function queryValue(request: Request, name: string): string | null {
  return new URL(request.originalUrl, 'http://simulator').searchParams.get(name);
}

/** What Python's int() makes of a query parameter; throws on text, as the real handlers do. */
export function queryInteger(request: Request, name: string): number | null {
  const text = queryValue(request, name);
  if (text === null) return null;
  if (!/^\s*[+-]?\d+\s*$/.test(text)) throw new TypeError(`invalid literal for int(): '${text}'`);
  return Number(text);
}
