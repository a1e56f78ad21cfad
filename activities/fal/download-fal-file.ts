import type { Dispatcher } from 'undici';
import { codingFault } from '../spool/open-file.js';
import type { WrittenFile } from '../spool/spool.js';
import { ERROR_BODY_BYTES, writeCounted } from '../spool/write-counted.js';
import { FalDownloadError } from './errors.js';
import type { FalHttp } from './fal-http.js';
import { checkedFileUrl } from './file-address.js';

export interface FalDownload {
  readonly url: string;
  /** Where the file is to lie; what a download that fails leaves there is the caller's to remove. */
  readonly path: string;
  readonly signal: AbortSignal;
  /** From the request to the last byte. */
  readonly totalMs: number;
  readonly maxBytes?: number;
}

const GONE = [404, 410];

/** Fetches a file of a result, counted and hashed, to disk. */
export async function downloadFalFile(http: FalHttp, download: FalDownload): Promise<WrittenFile> {
  const { signal, totalMs } = download;
  const url = checkedFileUrl(download.url, http.queueUrl);
  const from = `${url.host}${url.pathname}`;
  return http.open(url, { signal, totalMs }, async (response) => save(download, from, response));
}

async function save(
  { path, signal, maxBytes }: FalDownload,
  ...[from, response]: [string, Dispatcher.ResponseData]
): Promise<WrittenFile> {
  const { statusCode: status, body, headers } = response;
  if (status !== 200) {
    await body.dump({ limit: ERROR_BODY_BYTES });
    const fault = GONE.includes(status) ? 'missing' : null;
    throw new FalDownloadError(`${from} answered ${status}`, { fault }); // redirects, too: they might lead anywhere
  }
  const coding = await codingFault(response);
  if (coding !== null) throw new FalDownloadError(`${from} ${coding}`, { fault: 'transfer_failed' });
  const announced = headers['content-length'];
  const refused = announced === '0' ? 'empty' : 'transfer_failed';
  const errors = {
    refused: (message: string) => new FalDownloadError(message, { fault: refused }),
    broken: (message: string, { cause }: { readonly cause: unknown }) =>
      new FalDownloadError(message, { fault: 'transfer_failed', cause }),
  };
  const limit = maxBytes === undefined ? {} : { maxBytes };
  return writeCounted({ body, path, from, announced, signal, errors, ...limit });
}
