import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Dispatcher } from 'undici';
import type { Logger } from '../../infra/runtime/logger.js';
import type { OutputReference } from '../../workflows/contracts/activities.js';
import { OutputInvalidError } from '../media/errors.js';
import type { FetchOutput, SpoolRequest, WrittenFile } from '../spool/spool.js';
import { AS_IT_IS, codingFault } from '../spool/open-file.js';
import { ERROR_BODY_BYTES, writeCounted } from '../spool/write-counted.js';
import type { ComfyUIBackend } from './comfyui-backend.js';
import type { ComfyUIClient } from './comfyui-client.js';
import { ComfyUIHttpError, DownloadError, NotComfyUIError } from './errors.js';
import { nameFault } from './name-fault.js';
import { abortAfter } from '../../infra/runtime/abort-after.js';

const LOOK_MS = 15_000;

export interface FetchOutputDeps {
  readonly backend: ComfyUIBackend;
  readonly logger: Logger;
  /** From the request to the last byte of one file. */
  readonly downloadMs: number;
}

interface Fetch {
  readonly client: ComfyUIClient;
  readonly request: SpoolRequest;
  readonly path: string;
  readonly signal: AbortSignal;
}

/** Outputs of prompts: files by `/view`, texts out of the history. */
export function createFetchOutput(deps: FetchOutputDeps): FetchOutput {
  const { backend, logger, downloadMs } = deps;
  return async (request, path, signal) =>
    backend.use(async (client) => {
      const fetch = { client, request, path, signal };
      const { file } = request.reference;
      return file === null ? writeText(fetch) : download({ ...fetch, logger, file, downloadMs });
    });
}

type FileFetch = Fetch &
  Pick<FetchOutputDeps, 'logger' | 'downloadMs'> & { readonly file: NonNullable<OutputReference['file']> };

async function download(fetch: FileFetch): Promise<WrittenFile> {
  const { client, request, file, signal, downloadMs } = fetch;
  const { filename, subfolder, type } = file;
  const misnamed = nameFault(file);
  if (misnamed !== null) throw new OutputInvalidError([{ index: request.index, fault: 'bad_name', detail: misnamed }]);
  const query = { filename, subfolder, type };
  return client.http.open(
    { path: '/api/view', query, headers: AS_IT_IS, signal, totalMs: downloadMs },
    async (response) => save(fetch, response),
  );
}

async function save(
  { client, request, file, path, signal, logger }: FileFetch,
  response: Dispatcher.ResponseData,
): Promise<WrittenFile> {
  const { generationId, index } = request;
  const { filename, subfolder } = file;
  const from = `${client.address.label}/view (${subfolder}/${filename})`;
  if (response.statusCode !== 200) {
    await response.body.dump({ limit: ERROR_BODY_BYTES });
    // A cached run repeats the names of an earlier one, whose files may have been deleted since.
    if (response.statusCode === 404) throw new OutputInvalidError([{ index, fault: 'missing', detail: from }]);
    throw new ComfyUIHttpError('/api/view', response.statusCode, from);
  }
  if (isPage(response.headers['content-type'], filename)) {
    await response.body.dump({ limit: ERROR_BODY_BYTES });
    throw new NotComfyUIError(`${from} is answered with a web page, as by a proxy that wants a login`);
  }
  const coding = await codingFault(response);
  if (coding !== null) throw new DownloadError(`${from} ${coding}`);
  const announced = response.headers['content-length'];
  const errors = {
    refused: (message: string) => {
      logger.error({ generationId, from }, message);
      // Where ComfyUI itself says so the file is empty, and will be for as long as it is asked.
      if (announced === '0') return new OutputInvalidError([{ index, fault: 'empty', detail: message }]);
      return new DownloadError(message);
    },
    broken: (message: string, { cause }: { readonly cause: unknown }) => new DownloadError(message, { cause }),
  };
  const written = await writeCounted({ body: response.body, path, from, announced, signal, errors });
  logger.info({ generationId, bytes: written.bytes, from }, `Downloaded ${written.bytes} bytes`);
  return written;
}

/** ComfyUI never says so of a picture, and since 0.3 of no file at all (server.py, view_image). */
function isPage(contentType: string | readonly string[] | undefined, filename: string): boolean {
  return String(contentType ?? '').startsWith('text/html') && !/\.html?$/i.test(filename);
}

async function writeText({ client, request, path, signal }: Fetch): Promise<WrittenFile> {
  const state = await abortAfter(LOOK_MS, [signal], async (limited) => client.promptState(request.promptId, limited));
  const { nodeId, textIndex } = request.reference;
  const text = state.status === 'succeeded' ? state.finished.texts[nodeId]?.[textIndex] : undefined;
  if (text === undefined) {
    const detail = `the text of node ${nodeId} is no longer in ComfyUI's history`;
    throw new OutputInvalidError([{ index: request.index, fault: 'missing', detail }]);
  }
  await writeFile(path, text);
  return { bytes: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') };
}
