import { Agent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { FalHttpError, FalKeyRefusedError, FalUnreachableError, NotFalError } from './errors.js';
import { AS_IT_IS } from '../spool/open-file.js';
import { redactor } from './redactor.js';
import { abortAfter } from '../../infra/runtime/abort-after.js';

export interface FalCall {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Below the address of the queue. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal: AbortSignal | undefined;
  /** Whole exchange, connect to last byte. */
  readonly totalMs: number;
}

export interface FalAnswer {
  readonly status: number;
  /** `null` when the body is no JSON or empty. */
  readonly json: unknown;
  /** What it says, for people: shortened, and without the key. */
  readonly detail: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

const CONNECT_TIMEOUT_MS = 10_000;
const SILENCE_TIMEOUT_MS = 30_000;
/** Results are lists of addresses; models that answer with data URIs instead are not asked to. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const MAX_DETAIL_CHARS = 500;

/** HTTP to fal's queue with connect, silence and total limits and a byte cap on everything. Redirects are not followed. */
export interface FalHttp {
  /** Origin and path prefix. */
  readonly queueUrl: string;
  /** Any answer, whatever its status; but a refused key is an error. */
  send(call: FalCall): Promise<FalAnswer>;
  /** What `read` makes of the open response of a file, asked for without the key: it reads the body to its end or destroys it. */
  open<T>(
    url: URL,
    limits: { readonly signal: AbortSignal; readonly totalMs: number },
    read: (response: Dispatcher.ResponseData) => Promise<T>,
  ): Promise<T>;
  close(): Promise<void>;
}

export function createFalHttp({ key, queueUrl }: { readonly key: string; readonly queueUrl: string }): FalHttp {
  const limits = {
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: SILENCE_TIMEOUT_MS,
    bodyTimeout: SILENCE_TIMEOUT_MS,
  };
  const kept = new Agent(limits);
  // A kept connection may be closed just when a request is written to it, and then nobody knows whether it arrived.
  const fresh = new Agent({ ...limits, pipelining: 0 });
  const redact = redactor(key);
  return {
    queueUrl,
    async send(call) {
      const url = new URL(`${queueUrl}${call.path}`);
      for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
      const { response, text } = await abortAfter(call.totalMs, signalsOf(call), async (signal) =>
        exchange(url.host, call.signal, async () => {
          const opened = await request(url, {
            dispatcher: call.method === 'POST' ? fresh : kept,
            method: call.method,
            headers: {
              ...call.headers,
              authorization: `Key ${key}`,
              ...(call.body !== undefined && { 'content-type': 'application/json' }),
            },
            body: call.body === undefined ? null : JSON.stringify(call.body),
            signal,
          });
          return { response: opened, text: await readText(url, opened) };
        }),
      );
      const answer = answerOf(response, redact(text));
      if (answer.status === 401 || answer.status === 403) throw new FalKeyRefusedError(answer.status, answer.detail);
      return answer;
    },
    open: async (url, { signal, totalMs }, read) =>
      abortAfter(totalMs, [signal], async (limited) =>
        read(
          await exchange(url.host, signal, async () =>
            request(url, { dispatcher: kept, headers: AS_IT_IS, signal: limited }),
          ),
        ),
      ),
    close: async () => {
      await Promise.all([kept.destroy(), fresh.destroy()]);
    },
  };
}

/** The answer as an error of its status, with the wait that fal asks for. */
export function httpErrorOf(path: string, { status, detail, headers }: FalAnswer): FalHttpError {
  return new FalHttpError(path, { status, detail, retryAfterMs: retryAfterMsOf(headers['retry-after']) });
}

function signalsOf({ signal }: FalCall): readonly AbortSignal[] {
  return signal === undefined ? [] : [signal];
}

/** The caller's own cancellation walks through; everything else is an exchange that broke. */
async function exchange<T>(host: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof NotFalError) throw error;
    if (signal?.aborted === true) throw signal.reason;
    throw new FalUnreachableError(host, { cause: error, mayHaveArrived: !NEVER_SENT.has(codeOf(error)) });
  }
}

/** No connection came about: the only failures after which nothing can have arrived. */
const NEVER_SENT = new Set(
  ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'].concat([
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
  ]),
);

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

async function readText(url: URL, { body }: Dispatcher.ResponseData): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new NotFalError(`${url.host} sent more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function answerOf({ statusCode, headers }: Dispatcher.ResponseData, text: string): FalAnswer {
  const json = jsonOrNull(text);
  return { status: statusCode, headers, json, detail: detailOf(json, text).slice(0, MAX_DETAIL_CHARS) };
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null; // a page of a proxy, or nothing; the caller looks at the status
  }
}

function detailOf(json: unknown, text: string): string {
  const isObject = typeof json === 'object' && json !== null;
  if (isObject && 'detail' in json && typeof json.detail === 'string') return json.detail;
  return text.trim() === '' ? 'no body' : text.trim();
}

/** Longest wait that is taken from an answer: what is longer is asked again earlier. */
const MAX_RETRY_AFTER_MS = 10 * 60_000;

/** Seconds or a date, as HTTP has it. */
function retryAfterMsOf(header: string | string[] | undefined): number | null {
  if (typeof header !== 'string') return null;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS) : null;
}
