import { EnvHttpProxyAgent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { stringFrom } from '../../runtime/env.js';
import type { Env } from '../../runtime/env.js';
import { EmbeddedError } from '../embedded-error.js';

const CONNECT_TIMEOUT_MS = 5_000;
/** GitHub answers a download with one redirect, to its file server. */
const MOST_REDIRECTS = 5;
/** A page with a link. */
const MOST_BYTES_OF_A_REDIRECT = 128 * 1024;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * A GET over https, redirects included. Plain http is allowed only on loopback, for a mirror on this machine. The body arrives
 * as it was sent: `fetch` would unpack an archive that a mirror labels `Content-Encoding: gzip`.
 */
export async function fetchSafely(
  url: URL,
  { env, signal }: { readonly env: Env; readonly signal: AbortSignal },
  use: (response: Dispatcher.ResponseData) => Promise<void>,
): Promise<void> {
  const dispatcher = dispatcherFor(env);
  const isLocal = isLoopback(url);
  try {
    let next = url;
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects += 1) {
      if (next.protocol !== 'https:' && !(isLocal && isLoopback(next))) {
        throw new EmbeddedError(`${next.origin} was refused: only https is allowed, and http on loopback`);
      }
      const response = await request(next, { dispatcher, signal, headers: { 'user-agent': 'durable-comfy' } });
      const { location } = response.headers;
      if (response.statusCode < 300 || response.statusCode >= 400 || typeof location !== 'string') {
        await use(response);
        return;
      }
      await response.body.dump({ signal, limit: MOST_BYTES_OF_A_REDIRECT });
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
