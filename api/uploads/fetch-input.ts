import { request } from 'undici';
import type { Agent, Dispatcher } from 'undici';
import { OutputTooLargeError } from '../../activities/spool/errors.js';
import { writeCounted } from '../../activities/spool/write-counted.js';
import type { WrittenFile } from '../../activities/spool/spool.js';
import type { AddressRules } from '../../infra/network/address-rules.js';
import { AddressRefusedError, createGuardedAgent, refuseUrl } from '../../infra/network/guarded-agent.js';
import type { ResolveHost } from '../../infra/network/guarded-agent.js';
import { codeOf } from '../../activities/storage/errors.js';

/** A file that could not be fetched, in words that follow on "the address". */
export class InputFetchError extends Error {
  override readonly name = 'InputFetchError';
}

/** Fetches a file that a caller named to a path of its own; throws `InputFetchError`. */
export type FetchInput = (url: string, path: string) => Promise<WrittenFile>;

const CONNECT_MS = 5_000;
const IDLE_MS = 10_000;
const TOTAL_MS = 60_000;
const MAX_REDIRECTS = 3;

export interface FetchInputOptions {
  /** `null`: files are not fetched. */
  readonly rules: AddressRules | null;
  readonly maxBytes: number;
  readonly resolveHost?: ResolveHost;
}

export function createFetchInput({ rules, maxBytes, resolveHost }: FetchInputOptions): FetchInput {
  if (rules === null) {
    return async () => Promise.reject(new InputFetchError('is not fetched by this service; upload the file instead'));
  }
  const limits = { connectMs: CONNECT_MS, idleMs: IDLE_MS, ...(resolveHost !== undefined && { resolveHost }) };
  return async function fetchInput(url, path) {
    const agent = createGuardedAgent({ rules, ...limits });
    const signal = AbortSignal.timeout(TOTAL_MS);
    try {
      const { body, headers } = await follow(new URL(url), { rules, agent, signal });
      const announced = headers['content-length'];
      if (Number(announced) > maxBytes) throw tooLarge(maxBytes);
      return await writeCounted({ body, path, from: 'the address', announced, signal, maxBytes, errors: FETCH_ERRORS });
    } catch (error) {
      throw inWords(error, maxBytes);
    } finally {
      await agent.destroy();
    }
  };
}

interface Way {
  readonly rules: AddressRules;
  readonly agent: Agent;
  readonly signal: AbortSignal;
}

/** Each hop is judged like the first. */
async function follow(start: URL, { rules, agent, signal }: Way): Promise<Dispatcher.ResponseData> {
  let url = start;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
    refuseUrl(url, rules);
    const response = await request(url, {
      dispatcher: agent,
      headers: { 'accept-encoding': 'identity', 'user-agent': 'durable-comfy' },
      signal,
    });
    const { statusCode, headers } = response;
    const { location } = headers;
    if (statusCode === 200) {
      const coding = headers['content-encoding'] ?? 'identity';
      if (coding !== 'identity') throw new InputFetchError(`answered with Content-Encoding ${String(coding)}`);
      return response;
    }
    if (![301, 302, 303, 307, 308].includes(statusCode) || typeof location !== 'string') {
      throw new InputFetchError(`answered with status ${statusCode}`);
    }
    if (!URL.canParse(location, url.href)) throw new InputFetchError('redirects to something that is no address');
    url = new URL(location, url);
  }
  throw new InputFetchError(`redirects more than ${MAX_REDIRECTS} times`);
}

const FETCH_ERRORS = {
  refused: (message: string) => new InputFetchError(`gave no whole file: ${message}`),
  broken: (_message: string, { bytes }: { readonly bytes: number }) =>
    new InputFetchError(`broke off after ${bytes} bytes`),
};

function tooLarge(maxBytes: number): InputFetchError {
  return new InputFetchError(`holds more than the ${maxBytes} bytes that an input may have`);
}

/** Nothing of what was found inside of a network leaves by the words of an error. */
function inWords(error: unknown, maxBytes: number): unknown {
  if (error instanceof InputFetchError) return error;
  if (error instanceof OutputTooLargeError) return tooLarge(maxBytes);
  if (error instanceof AddressRefusedError) return new InputFetchError(error.message);
  if (isTimeout(error)) return new InputFetchError(`took longer than ${TOTAL_MS / 1000} s`);
  const code = codeOf(error);
  if (code === null) return error;
  return new InputFetchError(NETWORK_WORDS[code] ?? `could not be fetched (${code})`);
}

/** What `AbortSignal.timeout` throws. */
function isTimeout(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'name' in error && error.name === 'TimeoutError';
}

const NETWORK_WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'names a host that does not exist',
  EAI_AGAIN: 'names a host that could not be looked up',
  ECONNREFUSED: 'refused the connection',
  UND_ERR_CONNECT_TIMEOUT: `did not connect within ${CONNECT_MS / 1000} s`,
  UND_ERR_HEADERS_TIMEOUT: `was silent for ${IDLE_MS / 1000} s`,
  UND_ERR_BODY_TIMEOUT: `was silent for ${IDLE_MS / 1000} s`,
};
