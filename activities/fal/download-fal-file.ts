import type { WrittenFile } from '../spool/spool.js';
import { DOWNLOAD_MS, ERROR_BODY_BYTES, writeCounted } from '../spool/write-counted.js';
import { FalDownloadError } from './errors.js';
import type { FalHttp } from './fal-http.js';
import { checkedFileUrl } from './file-address.js';

export interface FalDownload {
  readonly url: string;
  /** Where the file is to lie; what a download that fails leaves there is the caller's to remove. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly maxBytes?: number;
}

/** Fetches a file of a result, counted and hashed, to disk. */
export async function downloadFalFile(http: FalHttp, download: FalDownload): Promise<WrittenFile> {
  const { signal, path, maxBytes } = download;
  const url = checkedFileUrl(download.url, http.queueUrl);
  const from = `${url.host}${url.pathname}`;
  const response = await http.open(url, { signal, totalMs: DOWNLOAD_MS });
  if (response.statusCode !== 200) {
    await response.body.dump({ limit: ERROR_BODY_BYTES });
    throw new FalDownloadError(`${from} answered ${response.statusCode}`); // redirects, too: they might lead anywhere
  }
  const errors = {
    refused: (message: string) => new FalDownloadError(message),
    broken: (cause: unknown, bytes: number) =>
      new FalDownloadError(`Downloaded ${bytes} bytes from ${from}, then the connection broke`, { cause }),
  };
  const announced = response.headers['content-length'];
  const limit = maxBytes === undefined ? {} : { maxBytes };
  return writeCounted({ body: response.body, path, from, announced, signal, errors, ...limit });
}
