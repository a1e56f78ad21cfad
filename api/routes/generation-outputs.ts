import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Router } from 'express';
import type { Request, Response } from 'express';
import type { CreateDownloadLink, DownloadLink } from '../../activities/storage/download-links.js';
import { byteRangeFrom } from '../outputs/byte-range.js';
import type { ByteRange } from '../outputs/byte-range.js';
import { contentDisposition } from '../outputs/content-disposition.js';
import { deliveryQueryFrom, withEndingOf } from '../outputs/delivery-query.js';
import { outputGone } from '../outputs/output-files.js';
import type { OutputFile, OutputFiles } from '../outputs/output-files.js';
import { ProblemError } from '../problem-error.js';
import { defineRoute } from './define-route.js';
import { generationIdOf } from './generation-id.js';

export interface OutputRoutesDeps {
  readonly files: OutputFiles;
  /** `null`: callers do not reach the object store. */
  readonly createDownloadLink: CreateDownloadLink | null;
}

export function generationOutputRoutes(deps: OutputRoutesDeps): Router {
  const router = Router();
  defineRoute(router, '/v1/generations/:id/outputs/:index', {
    get: async (req, res) => {
      const { file, filename, mayRedirect } = await askedFor(deps, req);
      const isCurrent = matches(req.get('If-None-Match'), file);
      // A link is signed for GET alone.
      if (mayRedirect && !isCurrent && req.method === 'GET' && deps.createDownloadLink !== null) {
        const { url } = await linkTo(deps, file, filename);
        res.set('Cache-Control', 'no-store').redirect(302, url);
        return;
      }
      res.set(fileHeaders(file, filename));
      if (isCurrent) res.status(304).end();
      else await send(deps, { req, res, file });
    },
  });
  defineRoute(router, '/v1/generations/:id/outputs/:index/link', {
    get: async (req, res) => {
      const { file, filename } = await askedFor(deps, req);
      const { url, expiresAt } = await linkTo(deps, file, filename);
      res.set('Cache-Control', 'no-store').json({ url, expiresAt: expiresAt.toISOString() });
    },
  });
  return router;
}

async function askedFor({ files }: OutputRoutesDeps, req: Request) {
  const id = generationIdOf(req);
  const { mayRedirect, filename } = deliveryQueryFrom(req.query);
  const index = String(req.params['index']);
  const file = /^\d{1,4}$/.test(index) ? await files.find(id, Number(index)) : null;
  if (file === null) throw new ProblemError('output_not_found', 'The generation has no output of this number.');
  return { file, mayRedirect, filename: withEndingOf(filename ?? `${id}_${index}`, file.objectKey) };
}

/** The file was made by strangers' models and nodes: the browser must neither guess its type nor run anything in it. */
function fileHeaders(file: OutputFile, filename: string): Readonly<Record<string, string>> {
  const isShown = /^(image|video|audio|text)\//.test(file.mediaType);
  return {
    ETag: `"${file.sha256}"`,
    'Cache-Control': 'private, max-age=31536000, immutable',
    'Accept-Ranges': 'bytes',
    'Content-Disposition': contentDisposition(isShown ? 'inline' : 'attachment', filename),
    'Content-Security-Policy': 'sandbox',
    'X-Content-Type-Options': 'nosniff',
  };
}

/**
 * An address in the store that serves the file as an attachment: there it has neither `nosniff` nor a sandbox, which a
 * store cannot be told to send. Pages show it all the same, in `<img>` or `<video>`.
 */
async function linkTo(
  { files, createDownloadLink }: OutputRoutesDeps,
  ...[file, filename]: [OutputFile, string]
): Promise<DownloadLink> {
  if (createDownloadLink === null) {
    throw new ProblemError('download_links_disabled', 'S3_PUBLIC_ENDPOINT is not set for this API.');
  }
  if (!(await files.exists(file))) throw outputGone();
  const pinned = { mediaType: file.mediaType, disposition: contentDisposition('attachment', filename) };
  return createDownloadLink(file.objectKey, pinned);
}

interface Delivery {
  readonly req: Request;
  readonly res: Response;
  readonly file: OutputFile;
}

async function send(deps: OutputRoutesDeps, { req, res, file }: Delivery): Promise<void> {
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
