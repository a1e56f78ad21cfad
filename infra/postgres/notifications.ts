import { Client } from 'pg';
import type { Logger } from '../runtime/logger.js';

const RECONNECT_MS = 1_000;

/**
 * LISTENs on one channel and goes on listening when the connection breaks. Notifications sent while it was broken are
 * gone: `onConnected` is called after every connect, so that the caller looks for what it missed.
 */
export function listenTo(options: {
  readonly url: string;
  readonly channel: 'generation_events' | 'outbox';
  readonly logger: Logger;
  readonly onNotification: (payload: string) => void;
  readonly onConnected: () => void;
}): { close(): Promise<void> } {
  let current: Client | null = null;
  let timer: NodeJS.Timeout | null = null;
  let isClosed = false;

  const reconnect = (error: unknown): void => {
    if (isClosed || timer !== null) return;
    options.logger.warn({ channel: options.channel, err: error }, 'Lost the notification connection, connecting again');
    void current?.end().catch(() => undefined); // it is broken already
    current = null;
    timer = setTimeout(() => {
      timer = null;
      connect();
    }, RECONNECT_MS);
  };
  const connect = (): void => {
    const client = new Client({ connectionString: options.url, connectionTimeoutMillis: 5_000, keepAlive: true });
    current = client;
    client.on('error', reconnect);
    client.on('end', () => {
      if (current === client) reconnect(new Error('PostgreSQL closed the connection'));
    });
    client.on('notification', ({ payload }) => {
      options.onNotification(payload ?? '');
    });
    client
      .connect()
      .then(() => client.query(`LISTEN ${options.channel}`))
      .then(options.onConnected, reconnect);
  };
  connect();

  return {
    async close() {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      const client = current;
      current = null;
      await client?.end();
    },
  };
}
