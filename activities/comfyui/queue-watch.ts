import { randomUUID } from 'node:crypto';
import type { RawData } from 'ws';
import type { ComfyUIBackend } from './comfyui-backend.js';
import { openEventSocket } from './event-socket.js';
import type { EventSocket } from './event-socket.js';

/** Text frames of this type are broadcast to every socket whenever the queue changes (0.8.0, server.py). */
const STATUS = /^\s*\{\s*"type"\s*:\s*"status"/;

/**
 * Says when ComfyUI's queue has changed: by its `status` event, over a websocket to the address that answers now. For
 * speed only; whoever listens must also look from time to time.
 */
export class QueueWatch {
  readonly #backend: ComfyUIBackend;
  readonly #onStatus: () => void;
  #socket: EventSocket | null = null;
  #label: string | null = null;
  #isClosed = false;

  constructor(backend: ComfyUIBackend, onStatus: () => void) {
    this.#backend = backend;
    this.#onStatus = onStatus;
    backend.onChange(() => {
      this.#follow();
    });
    this.#follow();
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.close();
  }

  /** A ComfyUI that is away has no socket: looking for it is discovery's work. */
  #follow(): void {
    const address = this.#backend.snapshot().found?.address ?? null;
    if (this.#isClosed || address?.label === this.#label) return;
    this.#socket?.close();
    this.#socket = null;
    this.#label = address?.label ?? null;
    if (address === null) return;
    this.#socket = openEventSocket({
      address,
      clientId: randomUUID(), // of no prompt: only what is broadcast arrives
      onConnecting: () => undefined,
      onFrame: (data, isBinary) => {
        if (!isBinary && isStatus(data)) this.#onStatus();
      },
      onLost: () => undefined,
    });
  }
}

function isStatus(data: RawData): boolean {
  return Buffer.isBuffer(data) && STATUS.test(data.toString('utf8', 0, 64));
}
