import http from 'node:http';
import https from 'node:https';
import { StoreAnswerError } from './errors.js';

interface TransportOptions {
  readonly isSecure: boolean;
  /** Silence that counts as a dead connection; also bounds connecting. */
  readonly idleMs?: number;
  /** No single request is allowed more: 4 GiB at 1.2 MB/s. A drip-feeding server never trips the idle limit. */
  readonly totalMs?: number;
}

/**
 * Statuses of which the minio client tells the number alone and leaves the answer unread (`retryHttpCodes` in its
 * internal/request.ts), and two with which proxies answer that send no S3 code.
 */
const READ_HERE = [408, 429, 499, 500, 502, 503, 504, 520, 413, 507];
const ERROR_BODY_BYTES = 64 * 1024;

/** `http` or `https` for the minio client, which sets no limits of its own. */
export function createBoundedTransport(options: TransportOptions): Pick<typeof http, 'request'> {
  const { isSecure, idleMs = 30_000, totalMs = 60 * 60_000 } = options;
  const { request } = isSecure ? https : http;
  const agent = isSecure ? new https.Agent({ keepAlive: true }) : new http.Agent({ keepAlive: true });
  const bounded = (asked: http.RequestOptions, onResponse?: (response: http.IncomingMessage) => void) => {
    let answer: http.IncomingMessage | null = null;
    const sent = request({ ...asked, agent, timeout: idleMs }, (response) => {
      answer = response;
      if (!READ_HERE.includes(response.statusCode ?? 0)) onResponse?.(response);
      // The request is over by then, so that destroy() would tell nobody.
      else void answerError(response).then((error) => sent.emit('error', error));
    });
    /** Whoever reads an answer hears of it there. */
    const giveUp = (message: string): void => {
      (answer ?? sent).destroy(new Error(message));
    };
    const timer = setTimeout(() => {
      giveUp(`The object store took longer than ${totalMs / 1000} s`);
    }, totalMs);
    timer.unref();
    sent.on('close', () => {
      clearTimeout(timer); // left behind it would hold for an hour all that called for it
    });
    sent.on('timeout', () => {
      giveUp(`The object store was silent for ${idleMs / 1000} s`);
    });
    return sent;
  };
  return { request: bounded as typeof http.request };
}

async function answerError(response: http.IncomingMessage): Promise<Error> {
  const status = response.statusCode ?? 0;
  let text = '';
  try {
    response.setEncoding('utf8');
    for await (const chunk of response as AsyncIterable<string>) {
      text += chunk;
      if (text.length > ERROR_BODY_BYTES) break; // which closes the connection
    }
  } catch {
    // The status says enough.
  }
  const [, code] = /<Code>([^<]+)<\/Code>/.exec(text) ?? [];
  const [, message] = /<Message>([^<]+)<\/Message>/.exec(text) ?? [];
  return new StoreAnswerError(status, { code, message });
}
