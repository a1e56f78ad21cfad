import { randomUUID } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { RawData, WebSocket } from 'ws';
import { isRecord } from './is-record.js';
import type { Json } from './prompt-history.js';

/** What the hub asks of the rest of the server. */
export interface HubSources {
  readonly remaining: () => number;
  readonly features: Json;
  /** What is answered to a handshake that is not let through. */
  readonly refusalOf: (path: string) => string | null;
}

/**
 * The WebSocket side. An event for a client that is not connected is dropped; nothing is kept for later.
 * `clientId` and `lastNodeId` belong to the running prompt, as in ComfyUI's server.py.
 */
export class ProgressHub {
  clientId: string | null = null;
  lastNodeId: string | null = null;
  readonly #sockets = new Map<string, WebSocket>();
  readonly #withMetadata = new Set<string>();
  readonly #acceptor = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  readonly #sources: HubSources;
  /** Frames held back, oldest first; `null`: they go out as they come. */
  #held: (() => void)[] | null = null;
  #releaseTimer: NodeJS.Timeout | undefined;

  constructor(sources: HubSources) {
    this.#sources = sources;
  }

  attach(server: Server): void {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const url = new URL(request.url ?? '/', 'http://simulator');
      if (!['/ws', '/api/ws'].includes(url.pathname)) {
        socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
        return;
      }
      const refusal = this.#sources.refusalOf(url.pathname);
      if (refusal !== null) {
        socket.end(refusal);
        return;
      }
      this.#acceptor.handleUpgrade(request, socket, head, (ws) => {
        this.#connect(ws, url.searchParams.get('clientId') ?? '');
      });
    });
  }

  /** To one client, or to everyone when `clientId` is null. */
  send(type: string, data: Json, clientId: string | null): void {
    this.#deliver(frameOf(type, data), clientId);
  }

  sendBinary(frame: Buffer, clientId: string | null): void {
    this.#deliver(frame, clientId);
  }

  /** Broadcast whenever the queue changes. */
  sendStatus(): void {
    this.send('status', this.#status(), null);
  }

  /** As behind a client that does not read: everybody's frames wait, greetings do not (ComfyUI 0.8.0, publish_loop). */
  hold(durationMs: number): void {
    this.#held ??= [];
    clearTimeout(this.#releaseTimer);
    this.#releaseTimer = setTimeout(() => {
      this.release();
    }, durationMs);
  }

  /** All at once, to whoever has the ids now. */
  release(): void {
    clearTimeout(this.#releaseTimer);
    const held = this.#held ?? [];
    this.#held = null;
    for (const deliver of held) deliver();
  }

  /** Frames no client has asked for, as of a custom node that watches the machine. */
  flood(frames: number): void {
    for (let index = 0; index < frames; index += 1) this.send('crystools.monitor', { cpu_utilization: index }, null);
  }

  supportsPreviewMetadata(clientId: string | null): boolean {
    return clientId !== null && this.#withMetadata.has(clientId);
  }

  /** No close frame: clients of a stopped ComfyUI see code 1006. */
  terminateAll(): void {
    for (const ws of this.#acceptor.clients) ws.terminate();
  }

  /** @NOTE the new socket replaces the old one, which stays open; when the old one ends, it removes the new (issue #16010). */
  #connect(ws: WebSocket, requestedId: string): void {
    const clientId = requestedId === '' ? randomUUID().replaceAll('-', '') : requestedId;
    this.#withMetadata.delete(clientId);
    this.#sockets.set(clientId, ws);
    ws.on('close', () => {
      this.#sockets.delete(clientId);
      this.#withMetadata.delete(clientId);
    });
    ws.on('error', () => {
      ws.terminate();
    });
    ws.once('message', (message: RawData, isBinary: boolean) => {
      if (!isBinary) this.#negotiate(clientId, message);
    });
    ws.send(frameOf('status', { ...this.#status(), sid: clientId }));
    if (this.clientId === clientId && this.lastNodeId !== null) {
      ws.send(frameOf('executing', { node: this.lastNodeId }));
    }
  }

  /** Only the first text frame of a connection is looked at. */
  #negotiate(clientId: string, message: RawData): void {
    const frame = parsed(message);
    if (!isRecord(frame) || frame['type'] !== 'feature_flags') return;
    const flags = isRecord(frame['data']) ? frame['data'] : {};
    if (flags['supports_preview_metadata'] === true) this.#withMetadata.add(clientId);
    this.send('feature_flags', this.#sources.features, clientId);
  }

  #status(): Json {
    return { status: { exec_info: { queue_remaining: this.#sources.remaining() } } };
  }

  #deliver(payload: string | Buffer, clientId: string | null): void {
    if (this.#held !== null) {
      this.#held.push(() => {
        this.#deliver(payload, clientId);
      });
      return;
    }
    if (clientId === null) {
      for (const ws of this.#sockets.values()) ws.send(payload);
      return;
    }
    this.#sockets.get(clientId)?.send(payload);
  }
}

function frameOf(type: string, data: Json): string {
  return JSON.stringify({ type, data });
}

function parsed(message: RawData): unknown {
  try {
    return JSON.parse(
      (Array.isArray(message) ? Buffer.concat(message) : Buffer.from(new Uint8Array(message))).toString(),
    );
  } catch {
    return null; // the real server ignores frames it cannot read, too
  }
}
