import type { Logger } from '../../infra/runtime/logger.js';
import { listenTo } from '../../infra/postgres/notifications.js';

/** Wakes whoever waits for something to happen to a generation. A wake-up is a hint: the truth is in the tables. */
export interface EventHub {
  /** Calls `wake` after every new event of the generation; answers how to stop. */
  subscribe(generationId: string, wake: () => void): () => void;
  close(): Promise<void>;
}

export function createEventHub(options: { readonly databaseUrl: string; readonly logger: Logger }): EventHub {
  const listeners = new Map<string, Set<() => void>>();
  const connection = listenTo({
    url: options.databaseUrl,
    channel: 'generation_events',
    logger: options.logger,
    onNotification: (generationId) => {
      for (const wake of listeners.get(generationId) ?? []) wake();
    },
    onConnected: () => {
      for (const wakes of listeners.values()) for (const wake of wakes) wake(); // what came meanwhile was missed
    },
  });
  return {
    subscribe(generationId, wake) {
      const wakes = listeners.get(generationId) ?? new Set();
      listeners.set(generationId, wakes.add(wake));
      return () => {
        wakes.delete(wake);
        if (wakes.size === 0 && listeners.get(generationId) === wakes) listeners.delete(generationId);
      };
    },
    close: async () => connection.close(),
  };
}
