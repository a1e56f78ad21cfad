import { setTimeout as sleep } from 'node:timers/promises';
import { removeCheckpoints } from '../activities/database/remove-checkpoints.js';
import type { Database } from '../infra/postgres/database.js';
import type { Logger } from '../infra/runtime/logger.js';

/** R5.12 */
const INTERVAL_MS = 6 * 60 * 60_000;

/** Removes checkpoints that nobody needs any more, at start and then every six hours. */
export function startRecoveryCleanup(options: {
  readonly database: Database;
  readonly logger: Logger;
  readonly retentionHours: number;
}): { stop(): Promise<void> } {
  const { database, logger, retentionHours } = options;
  const stopping = new AbortController();
  const cleaning = (async () => {
    while (!stopping.signal.aborted) {
      try {
        const removed = await removeCheckpoints(database, retentionHours);
        if (removed > 0) logger.info({ removed, retentionHours }, 'Removed old checkpoints');
      } catch (error) {
        logger.warn({ err: error }, 'Old checkpoints could not be removed; trying again later');
      }
      await sleep(INTERVAL_MS, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await cleaning;
    },
  };
}
