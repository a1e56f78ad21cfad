import { readFileSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import type { Request, Response } from 'express';
import sharp from 'sharp';
import type { Sharp } from 'sharp';
import { answers, queryValue } from '../answers.js';
import { FILE_TYPES, isInside } from '../file-store.js';
import type { FileStore } from '../file-store.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';

/** Types a browser would run are served as bytes (ComfyUI 0.8.0, server.py). */
const MEDIA_TYPES: Readonly<Record<string, string>> = {
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.webp': 'image/webp',
  '.gif': 'image/gif',
  '.mp4': 'video/mp4',
  '.webm': 'video/webm',
  '.wav': 'audio/wav',
  '.flac': 'audio/flac',
  '.mp3': 'audio/mpeg',
  '.json': 'application/json',
  '.txt': 'text/plain',
};

type Found = { readonly path: string } | { readonly status: 400 | 403 | 404 };

/** GET /view: bytes of a finished file. */
export function fileRoutes({ files, journal }: ServerParts): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/view',
      handle: async (request, response) => {
        const found = findFile(files, request);
        journal.write('view', {
          filename: queryValue(request, 'filename'),
          subfolder: queryValue(request, 'subfolder'),
          status: 'status' in found ? found.status : 200,
        });
        if ('status' in found) answers.bare(response, found.status);
        else await sendFile(found.path, request, response);
      },
    },
  ];
}

function findFile(files: FileStore, request: Request): Found {
  const given = queryValue(request, 'filename');
  if (given === null) return { status: 404 };
  if (given === '' || given.startsWith('/') || given.includes('..')) return { status: 400 };
  const annotation = /^(.*) \[(output|input|temp)\]$/.exec(given);
  const typeName = annotation?.[2] ?? queryValue(request, 'type') ?? 'output';
  const type = FILE_TYPES.find((each) => each === typeName);
  if (type === undefined) return { status: 400 };
  const folder = resolve(files.folder(type), queryValue(request, 'subfolder') ?? '');
  if (!isInside(files.folder(type), folder)) return { status: 403 };
  const path = files.existing(type, join(folder, basename(annotation?.[1] ?? given)));
  return path === null ? { status: 404 } : { path };
}

async function sendFile(path: string, request: Request, response: Response): Promise<void> {
  response.setHeader('Content-Disposition', `filename="${basename(path)}"`);
  const preview = queryValue(request, 'preview');
  const channel = queryValue(request, 'channel');
  if (preview !== null) {
    await sendImage(response, previewOf(path, { preview, hasAlpha: channel?.includes('a') === true }));
    return;
  }
  if (channel === 'rgb') return sendImage(response, sharp(readFileSync(path)).removeAlpha().png());
  if (channel === 'a')
    return sendImage(response, sharp(readFileSync(path)).ensureAlpha().extractChannel('alpha').png());
  response.setHeader('Content-Type', MEDIA_TYPES[extname(path).toLowerCase()] ?? 'application/octet-stream');
  await new Promise<void>((done, fail) => {
    response.sendFile(path, { dotfiles: 'allow', cacheControl: false }, (error: unknown) => {
      // A client that goes away in the middle is no error of ours.
      if (error instanceof Error && !response.headersSent) fail(error);
      else done();
    });
  });
}

/** `preview=webp;90`: everything but jpeg without alpha becomes webp, quality 90 unless told. */
function previewOf(path: string, asked: { readonly preview: string; readonly hasAlpha: boolean }): Sharp {
  const parts = asked.preview.split(';');
  const format = parts[0] === 'jpeg' && !asked.hasAlpha ? 'jpeg' : 'webp';
  const last = parts.at(-1) ?? '';
  const quality = /^\d+$/.test(last) ? Math.min(100, Math.max(1, Number(last))) : 90;
  return sharp(readFileSync(path)).toFormat(format, { quality });
}

async function sendImage(response: Response, image: Sharp): Promise<void> {
  const { data, info } = await image.toBuffer({ resolveWithObject: true });
  response.status(200).setHeader('Content-Type', `image/${info.format}`);
  response.end(data);
}
