import http from 'node:http';
import https from 'node:https';

/** Silence that counts as a dead connection; also bounds connecting. */
const IDLE_TIMEOUT_MS = 30_000;
/** No single request is allowed more: 4 GiB at 1.2 MB/s. A drip-feeding server never trips the idle limit. */
const TOTAL_TIMEOUT_MS = 60 * 60_000;

/** `http` or `https` for the minio client, which sets no limits of its own. */
export function createBoundedTransport(isSecure: boolean): Pick<typeof http, 'request'> {
  const { request } = isSecure ? https : http;
  const agent = isSecure ? new https.Agent({ keepAlive: true }) : new http.Agent({ keepAlive: true });
  const bounded = (options: http.RequestOptions, onResponse?: (response: http.IncomingMessage) => void) => {
    const sent = request(
      { ...options, agent, timeout: IDLE_TIMEOUT_MS, signal: AbortSignal.timeout(TOTAL_TIMEOUT_MS) },
      onResponse,
    );
    sent.on('timeout', () => {
      sent.destroy(new Error(`The object store was silent for ${IDLE_TIMEOUT_MS / 1000} s`));
    });
    return sent;
  };
  return { request: bounded as typeof http.request };
}
