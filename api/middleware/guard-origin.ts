import type { Request, RequestHandler } from 'express';
import { isLoopback } from '../is-loopback.js';
import { ProblemError } from '../problem-error.js';

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];
const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

export interface OriginRules {
  /** Address that the server listens on. */
  readonly host: string;
  /** Further names that callers may use, lower case. */
  readonly allowedHosts: readonly string[];
}

/**
 * Keeps web pages out. A page of another site can make the user's browser send requests to a loopback address: under
 * its own name by DNS rebinding (the Host header gives it away), or as a form (the browser says where it comes from).
 */
export function createOriginGuard(rules: OriginRules): RequestHandler {
  const isOurs = hostTest(rules);
  return (req, _res, next) => {
    const host = req.headers.host ?? '';
    if (!isOurs(hostnameOf(host))) {
      throw new ProblemError('host_not_allowed', `Requests for the host "${printable(host)}" are not answered here.`);
    }
    if (!SAFE_METHODS.includes(req.method) && isFromAnotherSite(req, isOurs)) {
      throw new ProblemError('cross_site_refused', 'A browser sent this request for a page of another site.');
    }
    next();
  };
}

/** Bound to a public address without a list, any name may lead here; bound to loopback, only loopback names do. */
function hostTest({ host, allowedHosts }: OriginRules): (hostname: string) => boolean {
  const own = host.includes(':') ? `[${host}]` : host.toLowerCase();
  if (!isLoopback(own) && allowedHosts.length === 0) return () => true;
  const names = [...LOOPBACK, own, ...allowedHosts];
  return (hostname) => names.includes(hostname);
}

/** Browsers without Fetch Metadata still send Origin with everything that changes something. */
function isFromAnotherSite(req: Request, isOurs: (hostname: string) => boolean): boolean {
  const site = req.headers['sec-fetch-site'];
  if (site !== undefined) return site === 'cross-site';
  const { origin } = req.headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || !isOurs(hostnameOf(new URL(origin).host));
}

/** `[::1]:8328` → `[::1]`, `localhost:8328` → `localhost` */
function hostnameOf(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 100);
}
