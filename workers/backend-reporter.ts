import { createHash } from 'node:crypto';
import { backendHealthOf } from '../activities/comfyui/backend-health.js';
import type { ComfyUIClient } from '../activities/comfyui/comfyui-client.js';
import type { ComfyUIBackend } from '../activities/comfyui/comfyui-backend.js';
import { ComfyUIError } from '../activities/comfyui/errors.js';
import type { GateSwitch } from '../activities/comfyui/gate-switch.js';
import type { NodeCatalogue } from '../activities/comfyui/node-catalogue.js';
import type { ObjectStore } from '../activities/storage/object-store.js';
import { backendReportKey } from '../workflows/contracts/backend-report.js';
import type { BackendReport, GpuUsageFigures, SpoolFigures } from '../workflows/contracts/backend-report.js';
import type { Logger } from '../infra/runtime/logger.js';
import type { PollingState } from './polling-state.js';

const REPORT_MS = 10_000;

export interface ReporterOptions {
  readonly backend: ComfyUIBackend;
  readonly gate: GateSwitch;
  readonly store: ObjectStore;
  readonly pool: string;
  readonly maxGpuJobs: number;
  /** For `/metrics`, at the time of each report. */
  readonly usage: () => GpuUsageFigures;
  readonly disk: () => Promise<SpoolFigures | null>;
  readonly logger: Logger;
  /** What its claims come from, and what it has in memory. */
  readonly polling: PollingState;
}

/**
 * Publishes what this worker knows of its ComfyUI, every ten seconds and on every change, into the object store: a GPU
 * worker has no database. The API shows it and says with it why nothing renders.
 */
export class BackendReporter {
  readonly #options: ReporterOptions;
  #capabilities: { readonly catalogue: NodeCatalogue; readonly key: string } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isStopped = false;
  #reporting: Promise<void> | null = null;
  #isStale = false;

  constructor(options: ReporterOptions) {
    this.#options = options;
    for (const source of [options.backend, options.gate, options.polling]) {
      source.onChange(() => {
        this.#reportSoon();
      });
    }
  }

  start(): void {
    this.#reportSoon();
  }

  /** Takes the report back: a worker that was stopped on purpose is not one that is lost. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#reporting;
    await this.#options.store.remove(backendReportKey(this.#options.backend.backendId));
  }

  /** One report at a time; a change that comes meanwhile makes another one follow. */
  #reportSoon(): void {
    if (this.#isStopped) return;
    this.#isStale = true;
    if (this.#reporting !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#reporting = this.#reportUntilFresh().finally(() => {
      this.#reporting = null;
      if (this.#isStopped) return;
      this.#timer = setTimeout(() => {
        this.#reportSoon();
      }, REPORT_MS);
    });
  }

  async #reportUntilFresh(): Promise<void> {
    const { backend, store, logger } = this.#options;
    while (this.#isStale && !this.#isStopped) {
      this.#isStale = false;
      try {
        await store.writeJson(backendReportKey(backend.backendId), await this.#report(), { kind: 'always' });
      } catch (error) {
        logger.warn({ err: error, backendId: backend.backendId }, 'Could not publish the state of a backend');
      }
    }
  }

  async #report(): Promise<BackendReport> {
    const { backend, gate, pool, maxGpuJobs, usage, disk, polling } = this.#options;
    const queueRemaining = await this.#asked(async (client) => client.queueRemaining());
    const vramFreeBytes = await this.#asked(async (client) => client.vramFreeBytes());
    const snapshot = backend.snapshot();
    const { found, answers } = snapshot;
    return {
      backendId: backend.backendId,
      pool,
      ...backendHealthOf(snapshot),
      gate: gate.position,
      gateHolds: gate.holds,
      addresses: answers,
      comfyuiVersion: found?.version ?? null,
      device: found?.device ?? null,
      hardware: found?.hardware ?? null,
      deviceName: found?.deviceName ?? null,
      vramTotalBytes: found?.vramTotalBytes ?? null,
      queueRemaining,
      maxGpuJobs,
      ...polling.report,
      capabilitiesKey: found === null ? null : await this.#capabilitiesKey(),
      reportedAt: new Date().toISOString(),
      vramFreeBytes: found?.vramTotalBytes == null ? null : vramFreeBytes,
      usage: usage(),
      disk: await disk(),
    };
  }

  async #asked<T>(ask: (client: ComfyUIClient) => Promise<T>): Promise<T | null> {
    try {
      return await this.#options.backend.use(ask);
    } catch (error) {
      if (error instanceof ComfyUIError) return null; // the snapshot says what the addresses said
      throw error;
    }
  }

  /** Of the catalogue that the client has: it is read again when ComfyUI is found again, and after a refusal. */
  async #capabilitiesKey(): Promise<string | null> {
    const { backend, store, logger } = this.#options;
    try {
      const catalogue = await backend.use(async (client) => client.nodeCatalogue());
      if (this.#capabilities?.catalogue === catalogue) return this.#capabilities.key;
      const capabilities = catalogue.capabilities();
      this.#options.polling.offering(capabilities.modelFiles ?? []);
      const hash = createHash('sha256').update(JSON.stringify(capabilities)).digest('hex');
      const key = `capabilities/${hash}.json`;
      await store.writeJson(key, capabilities, { kind: 'absent' });
      this.#capabilities = { catalogue, key };
      return key;
    } catch (error) {
      logger.warn({ err: error, backendId: backend.backendId }, 'Could not read the node classes of a backend');
      return null;
    }
  }
}
