import { EnvHttpProxyAgent, fetch } from 'undici';
import type { Response } from 'undici';
import { stringFrom } from '../../runtime/env.js';
import type { Env } from '../../runtime/env.js';
import { EmbeddedError } from '../embedded-error.js';

const CONNECT_TIMEOUT_MS = 5_000;
/** GitHub answers a download with one redirect, to its file server. */
const MOST_REDIRECTS = 5;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** A GET over https, redirects included. Plain http is allowed only on loopback, for a mirror on this machine. */
export async function fetchSafely(
  url: URL,
  { env, signal }: { readonly env: Env; readonly signal: AbortSignal },
  use: (response: Response) => Promise<void>,
): Promise<void> {
  const dispatcher = dispatcherFor(env);
  const isLocal = isLoopback(url);
  try {
    let next = url;
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects += 1) {
      if (next.protocol !== 'https:' && !(isLocal && isLoopback(next))) {
        throw new EmbeddedError(`${next.origin} was refused: only https is allowed, and http on loopback`);
      }
      const response = await fetch(next, { dispatcher, signal, redirect: 'manual' });
      const location = response.headers.get('location');
      if (response.status < 300 || response.status >= 400 || location === null) {
        await use(response);
        return;
      }
      await response.body?.cancel();
      next = new URL(location, next);
    }
    throw new EmbeddedError(`more than ${MOST_REDIRECTS} redirects`);
  } finally {
    await dispatcher.destroy();
  }
}

function isLoopback({ hostname }: URL): boolean {
  return LOOPBACK.test(hostname);
}

function dispatcherFor(env: Env): EnvHttpProxyAgent {
  const either = (name: string) => stringFrom(env, name, stringFrom(env, name.toLowerCase(), ''));
  return new EnvHttpProxyAgent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    httpProxy: either('HTTP_PROXY'),
    httpsProxy: either('HTTPS_PROXY'),
    noProxy: either('NO_PROXY'),
  });
}
