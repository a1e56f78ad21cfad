import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { isIPv6 } from 'node:net';

/** Slow-loris limits: headers within 10 s, a whole request within 60 s. Answers may take as long as they like. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
/**
 * A connection without a request stays open for longer than a proxy in front keeps its own, usually 60 s: a request that
 * is sent while Node closes after its 5 s fails without an answer, and a POST is not repeated.
 */
const IDLE_CONNECTION_MS = 65_000;
/** Requests that are still running when the server stops get this long. */
const STOP_WITHIN_MS = 8_000;

export interface RunningServer {
  readonly url: string;
  /** Takes no new connections, waits for running requests, then cuts what is left. */
  stop(): Promise<void>;
}

/** Listens, or rejects when the port is taken. */
export async function startHttpServer(
  listener: RequestListener,
  address: { readonly host: string; readonly port: number },
): Promise<RunningServer> {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      connectionsCheckingInterval: 2_000, // how late the two limits may fire; the default is 30 s
      maxHeaderSize: 16 * 1024,
    },
    listener,
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  const host = isIPv6(address.host) ? `[${address.host}]` : address.host;
  return {
    url: `http://${host}:${port}`,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      server.keepAliveTimeout = 1; // those whose request ends later close then; 0 would mean never
      const timer = setTimeout(() => {
        server.closeAllConnections();
      }, STOP_WITHIN_MS);
      await closed;
      clearTimeout(timer);
    },
  };
}
