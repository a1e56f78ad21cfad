import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Router } from 'express';
import type { Request, Response } from 'express';
import { byteRangeFrom } from '../outputs/byte-range.js';
import type { ByteRange } from '../outputs/byte-range.js';
import { outputGone } from '../outputs/output-files.js';
import type { OutputFile, OutputFiles } from '../outputs/output-files.js';
import { ProblemError } from '../problem-error.js';
import { defineRoute } from './define-route.js';
import { generationIdOf } from './generation-id.js';

export interface OutputRoutesDeps {
  readonly files: OutputFiles;
}

export function generationOutputRoutes(deps: OutputRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/v1/generations/:id/outputs/:index', {
    get: async (req, res) => {
      const id = generationIdOf(req);
      const index = String(req.params['index']);
      const file = /^\d{1,4}$/.test(index) ? await deps.files.find(id, Number(index)) : null;
      if (file === null) throw new ProblemError('output_not_found', 'The generation has no output of this number.');
      res.set(fileHeaders(file, `${id}_${index}${extname(file.objectKey)}`));
      await send(deps, { req, res, file });
    },
  });
  return router;
}

/** The file was made by strangers' models and nodes: the browser must neither guess its type nor run anything in it. */
function fileHeaders(file: OutputFile, filename: string): Readonly<Record<string, string>> {
  const isShown = /^(image|video|audio|text)\//.test(file.mediaType);
  return {
    ETag: `"${file.sha256}"`,
    'Cache-Control': 'private, max-age=31536000, immutable',
    'Accept-Ranges': 'bytes',
    'Content-Disposition': `${isShown ? 'inline' : 'attachment'}; filename="${filename}"`,
    'Content-Security-Policy': 'sandbox',
    'X-Content-Type-Options': 'nosniff',
  };
}

interface Delivery {
  readonly req: Request;
  readonly res: Response;
  readonly file: OutputFile;
}

async function send(deps: OutputRoutesDeps, { req, res, file }: Delivery): Promise<void> {
  if (matches(req.get('If-None-Match'), file)) {
    res.status(304).end();
    return;
  }
  const range = rangeOf(req, file);
  if (range.kind === 'unsatisfiable') {
    throw withoutFileHeaders(
      res,
      new ProblemError('range_not_satisfiable', `The file has ${file.bytes} bytes.`, {
        headers: { 'Content-Range': `bytes */${file.bytes}` },
      }),
    );
  }
  const body = await openBody(deps, { req, res, file }, range);
  const length = range.kind === 'part' ? range.length : file.bytes;
  if (range.kind === 'part') {
    res.status(206).set('Content-Range', `bytes ${range.offset}-${range.offset + length - 1}/${file.bytes}`);
  }
  res.set({ 'Content-Type': file.mediaType, 'Content-Length': String(length) });
  if (body === null) res.end();
  else await deliver(body, res);
}

/** `null` for HEAD, which needs no bytes but must know that they exist. */
async function openBody(
  deps: OutputRoutesDeps,
  { req, res, file }: Delivery,
  range: ByteRange,
): Promise<Readable | null> {
  try {
    if (req.method !== 'HEAD') return await deps.files.open(file, range.kind === 'part' ? range : undefined);
    if (await deps.files.exists(file)) return null;
    throw outputGone();
  } catch (error) {
    throw withoutFileHeaders(res, error);
  }
}

/** A caller who goes away is no error of this service; a store that breaks off must not look like a complete file. */
async function deliver(body: Readable, res: Response): Promise<void> {
  try {
    await pipeline(body, res);
  } catch (error) {
    if (!res.destroyed || res.errored !== null) throw error;
  }
}

function rangeOf(req: Request, file: OutputFile): ByteRange {
  const condition = req.get('If-Range');
  const isCurrent = condition === undefined || condition === `"${file.sha256}"`;
  return isCurrent ? byteRangeFrom(req.get('Range'), file.bytes) : { kind: 'all' };
}

function matches(header: string | undefined, file: OutputFile): boolean {
  const tags = (header ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return tags.includes('*') || tags.includes(`"${file.sha256}"`);
}

/** A problem document must not be cached as if it were the file. */
function withoutFileHeaders<T>(res: Response, error: T): T {
  for (const name of ['ETag', 'Cache-Control', 'Accept-Ranges', 'Content-Disposition']) res.removeHeader(name);
  return error;
}
