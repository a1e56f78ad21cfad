import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { OutputReference } from '../../workflows/contracts/activities.js';
import { OutputInvalidError } from '../media/errors.js';

/** One output of one submission. */
export interface SpoolRequest {
  readonly generationId: string;
  readonly submission: number;
  readonly promptId: string;
  readonly index: number;
  readonly reference: OutputReference;
  /** What an earlier activity counted; a spooled file with another hash is fetched again. */
  readonly sha256: string | null;
}

export interface SpooledFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export type WrittenFile = Omit<SpooledFile, 'path'>;

/** Writes one output to a path of its own; what it leaves there when it fails is removed. */
export type FetchOutput = (request: SpoolRequest, path: string, signal: AbortSignal) => Promise<WrittenFile>;

/** The worker's own disk between the provider and the object store; anything in it can be fetched again. */
export interface Spool {
  ensureSpooled(request: SpoolRequest, signal: AbortSignal): Promise<SpooledFile>;
  remove(generationId: string): Promise<void>;
  /** Generations that have anything in it. */
  generationIds(): Promise<readonly string[]>;
}

export function createSpool({ folder, fetch }: { readonly folder: string; readonly fetch: FetchOutput }): Spool {
  return {
    async ensureSpooled(request, signal) {
      const target = join(folder, request.generationId, String(request.submission), String(request.index));
      const known = await spooledAt(target);
      if (known !== null && (request.sha256 === null || request.sha256 === known.sha256)) return known;
      await mkdir(join(target, '..'), { recursive: true });
      // Written aside and renamed: a file under its final name is always whole.
      const partial = `${target}.${randomUUID()}.part`; // an attempt that was left behind may still be writing its own
      const written = await fetch(request, partial, signal).catch(async (error: unknown) => {
        await rm(partial, { force: true }); // each attempt has one of its own: together they would fill the disk
        throw error;
      });
      await rename(partial, target);
      const file = { path: target, ...written };
      if (request.sha256 !== null && request.sha256 !== file.sha256) {
        await rm(target, { force: true });
        const detail = 'there is another file under this name now';
        throw new OutputInvalidError([{ index: request.index, fault: 'missing', detail }]);
      }
      return file;
    },
    generationIds: async () => (existsSync(folder) ? readdir(folder) : []),
    remove: async (generationId) => rm(join(folder, generationId), { recursive: true, force: true }),
  };
}

async function spooledAt(path: string): Promise<SpooledFile | null> {
  const facts = await stat(path).catch(() => null); // absent is the normal case
  if (facts === null) return null;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path) as AsyncIterable<Uint8Array>) hash.update(chunk);
  return { path, bytes: facts.size, sha256: hash.digest('hex') };
}
