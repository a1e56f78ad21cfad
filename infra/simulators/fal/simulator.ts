import { createServer } from 'node:http';
import { join } from 'node:path';
import type { Logger } from '../../runtime/logger.js';
import { Journal } from '../comfyui/journal.js';
import { listening } from '../shared/listening.js';
import type { RunningSimulator } from '../shared/run-simulator.js';
import { createFalApp } from './create-app.js';
import { FalFaults } from './faults.js';
import type { FalJournalEvent } from './journal.js';
import type { FalOptions } from './options.js';
import { RequestStore } from './request-store.js';
import { Runners } from './runners.js';

/** Puts fal's queue together and listens; rejects when the port is taken. */
export async function startFalSimulator(options: FalOptions, logger: Logger): Promise<RunningSimulator> {
  const journal = new Journal<FalJournalEvent>(join(options.dataDir, 'journal.jsonl'));
  const store = new RequestStore(options.dataDir);
  const faults = new FalFaults(({ kind, on }) => {
    journal.write('fault', { kind, on });
  });
  const runners = new Runners({ store, faults, journal, seconds: options.seconds, runners: options.runners });
  const server = createServer(createFalApp({ key: options.key, store, faults, journal, runners }, logger));
  const url = await listening(server, options);
  journal.write('listening', { pid: process.pid, url });
  runners.fill(); // what an earlier process left in the queue
  return {
    url,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
