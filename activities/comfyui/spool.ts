import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { OutputReference } from '../../workflows/contracts/activities.js';
import type { Logger } from '../../infra/runtime/logger.js';
import { OutputInvalidError } from '../media/errors.js';
import type { ComfyUIBackend } from './comfyui-backend.js';
import type { ComfyUIClient } from './comfyui-client.js';
import { ComfyUIHttpError, ComfyUIUnreachableError, DownloadError } from './errors.js';

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

/** The worker's own disk between ComfyUI and the object store; anything in it can be fetched again. */
export interface Spool {
  ensureSpooled(request: SpoolRequest, signal: AbortSignal): Promise<SpooledFile>;
  remove(generationId: string): Promise<void>;
  /** Generations that have anything in it. */
  generationIds(): Promise<readonly string[]>;
}

/** A file of 4 GiB takes an hour at 1.2 MB/s; slower than that is not delivered but dripped. */
const DOWNLOAD_MS = 60 * 60_000;
const MAX_FILE_BYTES = 4 * 1024 ** 3;
const LOOK_MS = 15_000;
/** Read so that the connection can be used again, but not more of it. */
const ERROR_BODY_BYTES = 64 * 1024;

export function createSpool(options: {
  readonly folder: string;
  readonly backend: ComfyUIBackend;
  readonly logger: Logger;
}): Spool {
  const { folder, backend, logger } = options;
  return {
    async ensureSpooled(request, signal) {
      const target = join(folder, request.generationId, String(request.submission), String(request.index));
      const known = await spooledAt(target);
      if (known !== null && (request.sha256 === null || request.sha256 === known.sha256)) return known;
      await mkdir(join(target, '..'), { recursive: true });
      // Written aside and renamed: a file under its final name is always whole.
      const partial = `${target}.${randomUUID()}.part`; // an attempt that was left behind may still be writing its own
      const writing = backend.use(async (client) =>
        request.reference.file === null
          ? writeText({ client, request, partial, signal })
          : download({ client, request, partial, signal, logger }),
      );
      const written = await writing.catch(async (error: unknown) => {
        await rm(partial, { force: true }); // each attempt has one of its own: together they would fill the disk
        throw error;
      });
      await rename(partial, target);
      const file = { path: target, ...written };
      if (request.sha256 !== null && request.sha256 !== file.sha256) {
        await rm(target, { force: true });
        const detail = 'ComfyUI has another file under this name now';
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

type Written = Omit<SpooledFile, 'path'>;

interface Fetch {
  readonly client: ComfyUIClient;
  readonly request: SpoolRequest;
  readonly partial: string;
  readonly signal: AbortSignal;
}

async function download({
  client,
  request,
  partial,
  signal,
  logger,
}: Fetch & { readonly logger: Logger }): Promise<Written> {
  const { filename, subfolder, type } = request.reference.file ?? { filename: '', subfolder: '', type: '' };
  const query = { filename, subfolder, type };
  const response = await client.http.open({ path: '/api/view', query, signal, totalMs: DOWNLOAD_MS });
  const from = `${client.address.label}/view (${subfolder}/${filename})`;
  if (response.statusCode !== 200) {
    await response.body.dump({ limit: ERROR_BODY_BYTES });
    // A cached run repeats the names of an earlier one, whose files may have been deleted since.
    if (response.statusCode === 404)
      throw new OutputInvalidError([{ index: request.index, fault: 'missing', detail: from }]);
    throw new ComfyUIHttpError('/api/view', response.statusCode, from);
  }
  const { bytes, sha256 } = await writeCounted(response.body, partial, { client, signal });
  if (bytes === 0) {
    logger.error({ generationId: request.generationId, from }, `Downloaded 0 bytes from ${from}`);
    throw new DownloadError(`Downloaded 0 bytes from ${from}`);
  }
  logger.info({ generationId: request.generationId, bytes, from }, `Downloaded ${bytes} bytes`);
  const announced = response.headers['content-length'];
  if (announced !== undefined && Number(announced) !== bytes) {
    throw new DownloadError(`Downloaded ${bytes} of ${String(announced)} bytes from ${from}`);
  }
  return { bytes, sha256 };
}

async function writeCounted(
  body: NodeJS.ReadableStream,
  path: string,
  { client, signal }: Pick<Fetch, 'client' | 'signal'>,
): Promise<Written> {
  const hash = createHash('sha256');
  let bytes = 0;
  const count = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      hash.update(chunk);
      done(bytes > MAX_FILE_BYTES ? new DownloadError(`The file has more than ${MAX_FILE_BYTES} bytes`) : null, chunk);
    },
  });
  try {
    await pipeline(body, count, createWriteStream(path), { signal });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof DownloadError || isDiskError(error)) throw error;
    throw new ComfyUIUnreachableError(client.address.label, 'silent', { cause: error });
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Errors of the local disk carry the path or come from a write; those of the connection do neither. */
function isDiskError(error: unknown): boolean {
  return error instanceof Error && ('path' in error || ('syscall' in error && error.syscall === 'write'));
}

async function writeText({ client, request, partial, signal }: Fetch): Promise<Written> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(LOOK_MS)]);
  const state = await client.promptState(request.promptId, deadline);
  const { nodeId, textIndex } = request.reference;
  const text = state.status === 'succeeded' ? state.finished.texts[nodeId]?.[textIndex] : undefined;
  if (text === undefined) {
    const detail = `the text of node ${nodeId} is no longer in ComfyUI's history`;
    throw new OutputInvalidError([{ index: request.index, fault: 'missing', detail }]);
  }
  await writeFile(partial, text);
  return { bytes: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') };
}
