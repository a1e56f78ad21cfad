import { ConfigError, numberFrom, stringFrom } from './env.js';
import type { Env } from './env.js';

/** How to reach fal.ai's queue. */
export interface FalConfig {
  /** `null`: nothing runs on fal.ai. Never logged, never part of an error or of a history. */
  readonly key: string | null;
  /** Origin and path prefix without a trailing slash. */
  readonly queueUrl: string;
  readonly ceilings: FalCeilings;
}

/** What may be set aside for fal.ai, in US dollars. */
export interface FalCeilings {
  readonly usdPerGeneration: number;
  /** Over all generations of the last 24 hours. */
  readonly usdPerDay: number;
}

export const FAL_QUEUE_URL = 'https://queue.fal.run';
const LOOPBACK_HOSTS = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

const MAX_USD = 100_000;

/** `FAL_KEY`, `FAL_QUEUE_URL`, `FAL_MAX_USD_PER_GENERATION` and `FAL_MAX_USD_PER_DAY`. */
export function falConfigFrom(env: Env): FalConfig {
  return {
    key: keyFrom(env),
    queueUrl: queueUrlFrom(env),
    ceilings: {
      usdPerGeneration: numberFrom(env, 'FAL_MAX_USD_PER_GENERATION', { fallback: 1, min: 0, max: MAX_USD }),
      usdPerDay: numberFrom(env, 'FAL_MAX_USD_PER_DAY', { fallback: 10, min: 0, max: MAX_USD }),
    },
  };
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
