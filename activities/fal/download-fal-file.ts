import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Dispatcher } from 'undici';
import { FalDownloadError } from './errors.js';
import type { FalHttp } from './fal-http.js';
import { checkedFileUrl } from './file-address.js';

export interface FalDownload {
  readonly url: string;
  /** Where the file is to lie; it does so only when it is whole. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly maxBytes?: number;
}

export interface DownloadedFile {
  readonly bytes: number;
  readonly sha256: string;
  readonly contentType: string | null;
}

/** A file of 4 GiB takes an hour at 1.2 MB/s; slower than that is not delivered but dripped. */
const DOWNLOAD_MS = 60 * 60_000;
const MAX_FILE_BYTES = 4 * 1024 ** 3;
/** Read so that the connection can be used again, but not more of it. */
const ERROR_BODY_BYTES = 64 * 1024;

/** Fetches a file of a result, counted and hashed, to disk. */
export async function downloadFalFile(http: FalHttp, download: FalDownload): Promise<DownloadedFile> {
  const { signal, path, maxBytes = MAX_FILE_BYTES } = download;
  const url = checkedFileUrl(download.url, http.queueUrl);
  const from = `${url.host}${url.pathname}`;
  const response = await http.open(url, { signal, totalMs: DOWNLOAD_MS });
  if (response.statusCode !== 200) {
    await response.body.dump({ limit: ERROR_BODY_BYTES });
    throw new FalDownloadError(`${from} answered ${response.statusCode}`); // redirects, too: they might lead anywhere
  }
  const partial = `${path}.${randomUUID()}.part`; // an attempt that was left behind may still be writing its own
  try {
    const written = await writeCounted(response, { partial, from, maxBytes, signal });
    await rename(partial, path);
    const type = response.headers['content-type'];
    return { ...written, contentType: typeof type === 'string' ? type : null };
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

async function writeCounted(
  { body, headers }: Dispatcher.ResponseData,
  target: { readonly partial: string; readonly from: string; readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Pick<DownloadedFile, 'bytes' | 'sha256'>> {
  const { partial, from, maxBytes, signal } = target;
  const hash = createHash('sha256');
  let bytes = 0;
  const count = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      hash.update(chunk);
      done(bytes > maxBytes ? new FalDownloadError(`${from} has more than ${maxBytes} bytes`) : null, chunk);
    },
  });
  try {
    await pipeline(body, count, createWriteStream(partial), { signal });
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof FalDownloadError || isDiskError(error)) throw error;
    throw new FalDownloadError(`Downloaded ${bytes} bytes from ${from}, then the connection broke`, { cause: error });
  }
  const announced = headers['content-length'];
  if (announced !== undefined && Number(announced) !== bytes) {
    throw new FalDownloadError(`Downloaded ${bytes} of ${String(announced)} bytes from ${from}`);
  }
  if (bytes === 0) throw new FalDownloadError(`Downloaded 0 bytes from ${from}`);
  return { bytes, sha256: hash.digest('hex') };
}

/** Errors of the local disk carry the path or come from a write; those of the connection do neither. */
function isDiskError(error: unknown): boolean {
  return error instanceof Error && ('path' in error || ('syscall' in error && error.syscall === 'write'));
}
