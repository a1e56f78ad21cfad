import type { RequestHandler, Response } from 'express';
import { setTimeout as delay } from 'node:timers/promises';
import { answers } from '../answers.js';
import type { Fault, FaultKind } from './fault-kinds.js';
import type { Faults } from './faults.js';

const LOGIN_PAGE =
  '<!doctype html><html lang="en"><head><title>Sign in</title></head><body><form method="post"><h1>Sign in</h1>' +
  '<input name="user"><input name="password" type="password"><button>Sign in</button></form></body></html>';

/** What stands in front of a server can refuse a request, or a WebSocket's handshake, with. */
export const REFUSALS: readonly FaultKind[] = ['login_page', 'unauthorized', 'forbidden'];

/** Faults of requests; /simulator/… itself is never disturbed. */
export function faultyRequests(faults: Faults): RequestHandler {
  return async (request, response, next) => {
    const point = { path: request.path, method: request.method };
    if (point.path.startsWith('/simulator/')) {
      next();
      return;
    }
    const late = faults.atRequest(['slow_rest'], point);
    if (late !== null) await delay(late.delayMs ?? 0);
    const refusal = faults.atRequest(REFUSALS, point);
    if (refusal !== null) refuse(response, refusal);
    else if (isUpload(point.path) && faults.atRequest(['disk_full'], point) !== null) answers.trouble(response);
    else next();
  };
}

/** What a handler raises is a 500 that does not say why. */
function isUpload(path: string): boolean {
  return /^(\/api)?\/upload\//.test(path);
}

function refuse(response: Response, { kind }: Fault): void {
  const { status, type, body } = refusalOf(kind);
  if (status === 401) response.setHeader('WWW-Authenticate', 'Basic realm="ComfyUI"');
  if (type === 'text/html') {
    response.status(status).setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(body);
    return;
  }
  answers.text(response, status, body);
}

/** The same to a handshake, as it goes over the wire. */
export function refusedHandshake({ kind }: Fault): string {
  const { status, type, body } = refusalOf(kind);
  const head = [
    `HTTP/1.1 ${status} Refused`,
    `Content-Type: ${type}`,
    `Content-Length: ${body.length}`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

function refusalOf(kind: FaultKind): { readonly status: number; readonly type: string; readonly body: string } {
  if (kind === 'login_page') return { status: 200, type: 'text/html', body: LOGIN_PAGE };
  return kind === 'unauthorized'
    ? { status: 401, type: 'text/plain', body: '401: Unauthorized' }
    : { status: 403, type: 'text/plain', body: '403: Forbidden' };
}
