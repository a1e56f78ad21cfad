import type { Server } from 'node:http';
import { listening } from '../shared/listening.js';
import type { ProgressHub } from './progress-hub.js';

/** Whoever is to be cut off has the answer that was just written. */
const LAST_WORDS_MS = 20;

/** How others reach this server; it can be away for a while although nothing of the server dies. */
export class Network {
  readonly #host: string;
  readonly #hub: ProgressHub;
  #server: Server | null = null;
  #port = 0;

  constructor(host: string, hub: ProgressHub) {
    this.#host = host;
    this.#hub = hub;
  }

  /** Answers the address; rejects when the port is taken. */
  async listen(server: Server, port: number): Promise<string> {
    this.#server = server;
    const url = await listening(server, { host: this.#host, port });
    this.#port = Number(new URL(url).port);
    return url;
  }

  /** Ends every connection without a close frame. */
  async close(): Promise<void> {
    this.#hub.terminateAll();
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  /** A client cannot tell this from a cable that was pulled and put back. */
  cut(durationMs: number): void {
    setTimeout(() => void this.close(), LAST_WORDS_MS);
    setTimeout(() => this.#server?.listen(this.#port, this.#host), LAST_WORDS_MS + durationMs);
  }
}
