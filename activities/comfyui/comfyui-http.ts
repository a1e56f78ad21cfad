import { Agent, request } from 'undici';
import type { Dispatcher, FormData } from 'undici';
import type { ComfyUIAddress } from './comfyui-address.js';
import { urlOf } from './comfyui-address.js';
import { ComfyUIHttpError, ComfyUIUnreachableError, NotComfyUIError } from './errors.js';
import type { Reachability } from './errors.js';
import { parseJson } from './parse-json.js';
import { abortAfter } from '../../infra/runtime/abort-after.js';

export interface ComfyUIRequest {
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly form?: FormData;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
  /** Whole exchange, connect to last byte. */
  readonly totalMs: number;
}

export interface ComfyUIAnswer {
  readonly status: number;
  /** `null` when the body is no JSON or empty. */
  readonly json: unknown;
  readonly text: string;
}

/** The event loop of ComfyUI blocks while custom nodes load, so connecting may be slow even on loopback. */
const CONNECT_TIMEOUT_MS = 5_000;
/** R3.2: a download has 60 s of silence at most. */
const SILENCE_TIMEOUT_MS = 60_000;
/** `/object_info` with many custom nodes has several MB, `/history` of one prompt holds its graph; more is not ComfyUI's. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** HTTP to one ComfyUI with connect, silence and total limits and a byte cap on everything. */
export interface ComfyUIHttp {
  readonly address: ComfyUIAddress;
  send(request: ComfyUIRequest): Promise<ComfyUIAnswer>;
  /** Like `send`, but any status other than 200 or any body that is no JSON is an error. */
  json(request: ComfyUIRequest): Promise<unknown>;
  /** What `read` makes of the open response, for files: it reads the body to its end or destroys it. */
  open<T>(request: ComfyUIRequest, read: (response: Dispatcher.ResponseData) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function createComfyUIHttp(address: ComfyUIAddress): ComfyUIHttp {
  const dispatcher = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: SILENCE_TIMEOUT_MS,
    bodyTimeout: SILENCE_TIMEOUT_MS,
  });

  const answered = async (ask: ComfyUIRequest, signal: AbortSignal): Promise<Dispatcher.ResponseData> => {
    try {
      return await request(urlOf(address, ask.path, ask.query), {
        dispatcher,
        method: ask.method ?? 'GET',
        headers: {
          ...ask.headers,
          ...address.headers,
          ...(ask.body !== undefined && { 'content-type': 'application/json' }),
        },
        body: ask.form ?? (ask.body === undefined ? null : JSON.stringify(ask.body)),
        signal,
      });
    } catch (error) {
      throw unreachable(address, ask, error);
    }
  };
  const open: ComfyUIHttp['open'] = async (ask, read) =>
    abortAfter(ask.totalMs, ask.signal === undefined ? [] : [ask.signal], async (signal) =>
      read(await answered(ask, signal)),
    );
  const send = async (ask: ComfyUIRequest): Promise<ComfyUIAnswer> =>
    open(ask, async (response) => {
      const text = await readText(address, ask, response);
      return { status: response.statusCode, text, json: jsonOrNull(text) };
    });

  return {
    address,
    open,
    send,
    async json(ask) {
      const answer = await send(ask);
      if (answer.status !== 200) throw new ComfyUIHttpError(ask.path, answer.status, answer.text);
      if (answer.json === null)
        throw new NotComfyUIError(`${address.label} answered ${ask.path} with something that is not JSON`);
      return answer.json;
    },
    close: async () => dispatcher.destroy(),
  };
}

async function readText(
  address: ComfyUIAddress,
  ask: ComfyUIRequest,
  response: Dispatcher.ResponseData,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES)
        throw new NotComfyUIError(`${address.label} sent more than ${MAX_ANSWER_BYTES} bytes for ${ask.path}`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof NotComfyUIError) throw error;
    throw unreachable(address, ask, error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function jsonOrNull(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return null; // an HTML page, an empty 200 or a plain-text 500; the caller looks at the status
  }
}

/** The caller's own cancellation walks through; everything else is an exchange that broke. */
function unreachable(address: ComfyUIAddress, ask: ComfyUIRequest, error: unknown): unknown {
  if (ask.signal?.aborted === true) return ask.signal.reason;
  return new ComfyUIUnreachableError(address.label, reachabilityOf(error), { cause: error });
}

const REFUSALS = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH'];

function reachabilityOf(error: unknown): Reachability {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return REFUSALS.some((refusal) => refusal === code) ? 'refused' : 'silent';
}
