import { ConfigError, stringFrom } from './env.js';
import type { Env } from './env.js';

/** How to reach fal.ai's queue. */
export interface FalConfig {
  /** `null`: nothing runs on fal.ai. Never logged, never part of an error or of a history. */
  readonly key: string | null;
  /** Origin and path prefix without a trailing slash. */
  readonly queueUrl: string;
}

export const FAL_QUEUE_URL = 'https://queue.fal.run';
const LOOPBACK_HOSTS = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** `FAL_KEY` and `FAL_QUEUE_URL`. */
export function falConfigFrom(env: Env): FalConfig {
  return { key: keyFrom(env), queueUrl: queueUrlFrom(env) };
}

function keyFrom(env: Env): string | null {
  const key = stringFrom(env, 'FAL_KEY', '').trim();
  if (key === '') return null;
  // It becomes a header. The value is not repeated.
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new ConfigError('FAL_KEY has characters that no key has: copy it again from https://fal.ai/dashboard/keys');
  }
  return key;
}

function queueUrlFrom(env: Env): string {
  const text = stringFrom(env, 'FAL_QUEUE_URL', FAL_QUEUE_URL);
  const url = URL.canParse(text) ? new URL(text) : null;
  // The key goes there: in the clear to this machine only.
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOOPBACK_HOSTS.test(url.hostname));
  if (url !== null && isSafe && url.username === '' && url.password === '' && url.search === '' && url.hash === '') {
    return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  }
  // The value is not repeated: it may carry a password.
  throw new ConfigError(
    `FAL_QUEUE_URL must be an https address such as ${FAL_QUEUE_URL}, or http on this machine, ` +
      'without a user, a query and a fragment',
  );
}
