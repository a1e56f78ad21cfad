import { randomUUID } from 'node:crypto';
import type { RawData } from 'ws';
import { z } from 'zod';
import type { ComfyUIBackend } from './comfyui-backend.js';
import { openEventSocket } from './event-socket.js';
import type { EventSocket } from './event-socket.js';
import { parseJson } from './parse-json.js';

/** Text frames of this type are broadcast to every socket whenever the queue changes (0.8.0, server.py). */
const STATUS = /^\s*\{\s*"type"\s*:\s*"status"/;
const statusSchema = z.object({
  data: z.object({ status: z.object({ exec_info: z.object({ queue_remaining: z.number() }) }) }),
});

/** Nothing was told yet, or on this connection. */
const UNTOLD = Number.POSITIVE_INFINITY;

/**
 * Says when ComfyUI's queue has become shorter: by its `status` event, over a websocket to the address that answers now.
 * For speed only; whoever listens must also look from time to time. `onTold` hears every length, and `null` when it is lost.
 */
export class QueueWatch {
  readonly #backend: ComfyUIBackend;
  readonly #onShorter: () => void;
  readonly #onTold: (remaining: number | null) => void;
  #socket: EventSocket | null = null;
  #label: string | null = null;
  #remaining = UNTOLD;
  #isClosed = false;

  constructor(
    backend: ComfyUIBackend,
    onShorter: () => void,
    onTold: (remaining: number | null) => void = () => undefined,
  ) {
    this.#backend = backend;
    this.#onShorter = onShorter;
    this.#onTold = onTold;
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
    if (address === null) {
      this.#onTold(null);
      return;
    }
    this.#socket = openEventSocket({
      address,
      clientId: randomUUID(), // of no prompt: only what is broadcast arrives
      onConnecting: () => {
        this.#remaining = UNTOLD; // the greeting may tell of changes that nobody heard
      },
      onFrame: (data, isBinary) => {
        if (!isBinary) this.#noteRemaining(remainingOf(data));
      },
      onLost: () => {
        this.#remaining = UNTOLD;
        this.#onTold(null);
      },
    });
  }

  /** How many prompts ran or waited when that was last told; `null` when it was not. */
  get remaining(): number | null {
    return this.#remaining === UNTOLD ? null : this.#remaining;
  }

  #noteRemaining(remaining: number | null): void {
    if (remaining === null) return;
    const isShorter = remaining < this.#remaining;
    this.#remaining = remaining;
    this.#onTold(remaining);
    if (isShorter) this.#onShorter();
  }
}

/** How many prompts run or wait, from a `status` frame; `null` from any other. */
function remainingOf(data: RawData): number | null {
  if (!Buffer.isBuffer(data) || !STATUS.test(data.toString('utf8', 0, 64))) return null;
  try {
    return statusSchema.parse(parseJson(data.toString('utf8'))).data.status.exec_info.queue_remaining;
  } catch {
    return null; // not ComfyUI's; the look is the truth
  }
}
