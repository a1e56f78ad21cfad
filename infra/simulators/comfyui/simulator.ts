import { createServer } from 'node:http';
import { join } from 'node:path';
import type { Logger } from '../../runtime/logger.js';
import type { RunningSimulator } from '../shared/run-simulator.js';
import { Catalogue } from './catalogue.js';
import { createApp } from './create-app.js';
import { FaultSchedule } from './faults/fault-schedule.js';
import { Faults } from './faults/faults.js';
import { refusedHandshake, REFUSALS } from './faults/http-faults.js';
import { FileStore } from './file-store.js';
import { InterruptFlag } from './interrupt-flag.js';
import { Journal } from './journal.js';
import { Network } from './network.js';
import { NodeCache } from './node-cache.js';
import type { SimulatorOptions } from './options.js';
import { ProgressHub } from './progress-hub.js';
import { PromptHistory } from './prompt-history.js';
import { PromptQueue } from './prompt-queue.js';
import { PromptWorker } from './prompt-worker.js';
import { serverFeatures } from './server-features.js';
import { Vram } from './vram.js';

/** Puts a server together and listens; rejects when the port is taken. */
export async function startSimulator(options: SimulatorOptions, logger: Logger): Promise<RunningSimulator> {
  const { network, server, worker, files, journal } = assemble(options, logger);
  const url = await network.listen(server, options.port);
  journal.write('started', { pid: process.pid, url });
  worker.run().catch((error: unknown) => {
    journal.write('worker_died', { error: String(error) });
    logger.warn({ error }, 'The worker ended; like ComfyUI, the server goes on accepting prompts');
  });
  return {
    url,
    /** What was in memory is gone. */
    stop: async () => {
      await network.close();
      files.wipeTemp();
    },
  };
}

function assemble(options: SimulatorOptions, logger: Logger) {
  const catalogue = new Catalogue(options.catalogue, options.without);
  const vram = new Vram(options.vramGib);
  const journal = new Journal(join(options.dataDir, 'journal.jsonl'));
  const files = new FileStore(options.dataDir);
  const interrupt = new InterruptFlag();
  const queue: PromptQueue = new PromptQueue(() => {
    hub.sendStatus();
  });
  const history = new PromptHistory((promptId) => {
    journal.write('history_evicted', { promptId });
  });
  const hub: ProgressHub = new ProgressHub({
    remaining: () => queue.remaining,
    features: serverFeatures(options),
    refusalOf: (path) => {
      const refusal = faults.atRequest(REFUSALS, { path, method: 'GET' });
      return refusal === null ? null : refusedHandshake(refusal);
    },
  });
  const network = new Network(options.host, hub);
  const faults = new Faults({ catalogue, hub, journal, network, vram, schedule: scheduleOf(options, journal) });
  const { secondsPerStep, historyDelayMs, version } = options;
  const cache = new NodeCache(options.cache);
  const shared = { classes: catalogue.classes, faults, files, history, interrupt, journal, queue, vram };
  const worker = new PromptWorker({ ...shared, cache, hub, secondsPerStep, historyDelayMs, version });
  const server = createServer(createApp({ ...shared, options, catalogue, worker }, logger));
  hub.attach(server);
  return { network, server, worker, files, journal };
}

function scheduleOf({ faultSchedule }: SimulatorOptions, journal: Journal): FaultSchedule | null {
  return faultSchedule === null ? null : new FaultSchedule(faultSchedule, journal.lives());
}
