import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectStore } from '../activities/storage/object-store.js';
import { untilAborted } from '../activities/until-aborted.js';
import type { Logger } from '../infra/runtime/logger.js';

export interface SurroundingsOptions {
  readonly spoolFolder: string;
  readonly store: Pick<ObjectStore, 'check'>;
  readonly logger: Logger;
  /** Free space below which nothing more is rendered: a result must fit, whatever its size. */
  readonly minFreeBytes?: number;
}

const MIN_FREE_BYTES = 64 * 1024 * 1024;
/** A check costs a request and a small file, so it holds for a while; after a failure it is repeated sooner. */
const GOOD_FOR_MS = 5_000;
const BAD_FOR_MS = 1_000;
const CHECK_MS = 3_000;

/** What a rendering needs besides its GPU: a spool that takes the files and an object store that takes the result. */
export class Surroundings {
  readonly #options: SurroundingsOptions;
  #checking: Promise<void> | null = null;
  #fault: string | null = null;
  #freshUntilMs = 0;

  constructor(options: SurroundingsOptions) {
    this.#options = options;
  }

  /** What is wrong, as of a few seconds ago; `null` when nothing is. */
  async fault(): Promise<string | null> {
    if (performance.now() > this.#freshUntilMs) {
      this.#checking ??= this.#check().finally(() => (this.#checking = null));
      await this.#checking;
    }
    return this.#fault;
  }

  async #check(): Promise<void> {
    const fault = (await this.#spoolFault()) ?? (await this.#storeFault());
    if (fault !== this.#fault) {
      if (fault === null) this.#options.logger.info('The gate of the GPU is open again');
      else this.#options.logger.error({ fault }, 'The gate of the GPU is shut');
    }
    this.#fault = fault;
    this.#freshUntilMs = performance.now() + (fault === null ? GOOD_FOR_MS : BAD_FOR_MS);
  }

  async #spoolFault(): Promise<string | null> {
    const { spoolFolder, minFreeBytes = MIN_FREE_BYTES } = this.#options;
    // One name, so that what a killed process left is removed by the next.
    const probe = join(spoolFolder, 'probe');
    try {
      await bounded(mkdir(spoolFolder, { recursive: true }));
      const { bavail, bsize } = await bounded(statfs(spoolFolder));
      if (bavail * bsize < minFreeBytes) return `the disk of ${spoolFolder} has ${bavail * bsize} bytes left`;
      await bounded(writeFile(probe, 'probe'));
      await bounded(rm(probe, { force: true }));
      return null;
    } catch (error) {
      return `${spoolFolder} cannot be written: ${textOf(error)}`;
    }
  }

  async #storeFault(): Promise<string | null> {
    try {
      await bounded(this.#options.store.check());
      return null;
    } catch (error) {
      return `the object store does not answer: ${textOf(error)}`;
    }
  }
}

async function bounded<T>(work: Promise<T>): Promise<T> {
  return untilAborted(AbortSignal.timeout(CHECK_MS), work);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
