import { once } from 'node:events';
import type { Response } from 'express';
import type { DurableEvent } from './events-after.js';

/** Keeps proxies and dead-connection detection content. */
const HEARTBEAT_MS = 15_000;

export interface SseWriter {
  event(event: DurableEvent): Promise<void>;
  /** Without an id, as it is not replayed: Last-Event-ID keeps naming the last durable event. Unchanged data is not sent. */
  update(name: 'progress' | 'queue', data: object): Promise<void>;
  end(): void;
}

/** Starts the answer as a Server-Sent Events stream. */
export function createSseWriter(res: Response): SseWriter {
  res.status(200).set({
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no', // nginx would collect events
  });
  let shown = '';
  res.write('retry: 2000\n\n');
  const heartbeat = setInterval(() => {
    if (!res.writableNeedDrain) res.write(': still here\n\n');
  }, HEARTBEAT_MS);
  res.once('close', () => {
    clearInterval(heartbeat);
  });
  return {
    event: async ({ sequence, type, data }) =>
      write(res, `id: ${sequence}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`),
    async update(name, data) {
      const text = `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
      if (text !== shown) await write(res, text);
      shown = text;
    },
    end() {
      clearInterval(heartbeat);
      res.end();
    },
  };
}

/** A slow reader is waited for, so that its events do not pile up in memory. */
async function write(res: Response, text: string): Promise<void> {
  if (res.destroyed || res.writableEnded || res.write(text)) return;
  const closed = new AbortController();
  const onClose = (): void => {
    closed.abort();
  };
  res.once('close', onClose);
  await once(res, 'drain', { signal: closed.signal }).catch(() => undefined); // the caller's loop sees the close
  res.off('close', onClose);
}
