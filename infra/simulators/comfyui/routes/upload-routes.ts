import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import type { Request, Response } from 'express';
import sharp from 'sharp';
import { answers, bodyBytes } from '../answers.js';
import { FILE_TYPES, isInside } from '../file-store.js';
import type { FileStore, FileType } from '../file-store.js';
import { isRecord } from '../is-record.js';
import { pythonStr } from '../python-text.js';
import type { Route } from '../route.js';
import type { ServerParts } from '../server-parts.js';

interface Upload {
  readonly filename: string;
  readonly bytes: Buffer;
  readonly type: FileType;
  readonly subfolder: string;
  readonly overwrites: boolean;
}

/** POST /upload/image and /upload/mask. */
export function uploadRoutes({ files, journal }: ServerParts): readonly Route[] {
  const stored = ({ subfolder, type, bytes }: Upload, filename: string | null) => {
    if (filename !== null) journal.write('upload', { filename, subfolder, type, bytes: bytes.length });
  };
  return [
    {
      method: 'POST',
      path: '/upload/image',
      handle: async (request, response) => {
        const upload = await uploadFrom(await formOf(request));
        if (upload === null) answers.bare(response, 400);
        else stored(upload, store(files, upload, response));
      },
    },
    {
      method: 'POST',
      path: '/upload/mask',
      handle: async (request, response) => {
        const form = await formOf(request);
        const upload = await uploadFrom(form);
        if (upload === null) {
          answers.bare(response, 400);
          return;
        }
        const original = originalPath(files, JSON.parse(textOf(form, 'original_ref') ?? ''));
        // @NOTE without the original ComfyUI answers 200 and writes nothing.
        if (original === null) answers.json(response, 200, nameOf(upload, upload.filename));
        else stored(upload, store(files, { ...upload, bytes: await masked(original, upload.bytes) }, response));
      },
    },
  ];
}

async function formOf(request: Request): Promise<FormData> {
  const contentType = request.headers['content-type'] ?? '';
  if (!/^(multipart\/form-data|application\/x-www-form-urlencoded)/i.test(contentType)) return new FormData();
  return new Response(new Uint8Array(bodyBytes(request)), { headers: { 'Content-Type': contentType } }).formData();
}

/** `null`: no file field. A part without a file name is text to aiohttp and breaks the handler. */
async function uploadFrom(form: FormData): Promise<Upload | null> {
  const image = form.get('image');
  if (image === null || image === '') return null;
  if (typeof image === 'string') throw new TypeError("'str' object has no attribute 'file'");
  const typeName = textOf(form, 'type') ?? 'input';
  const type = FILE_TYPES.find((each) => each === typeName);
  if (type === undefined) throw new TypeError('cannot access local variable');
  if (image.name === '') return null;
  return {
    filename: image.name.replaceAll('/', '%2F'),
    bytes: Buffer.from(await image.arrayBuffer()),
    type,
    subfolder: textOf(form, 'subfolder') ?? '',
    overwrites: ['true', '1'].includes(textOf(form, 'overwrite') ?? ''), // "True" does not count
  };
}

/** The name that it has now; `null` when it was refused. */
function store(files: FileStore, upload: Upload, response: Response): string | null {
  const root = files.folder(upload.type);
  const folder = resolve(root, upload.subfolder);
  if (!isInside(root, folder) || dirname(resolve(folder, upload.filename)) !== folder) {
    answers.bare(response, 400);
    return null;
  }
  mkdirSync(folder, { recursive: true });
  const filename = freeName(folder, upload);
  writeFileSync(join(folder, filename), upload.bytes);
  answers.json(response, 200, nameOf(upload, filename));
  return filename;
}

/** Same name and content: the same name; same name, other content: `a (1).png`. */
function freeName(folder: string, { filename, bytes, overwrites }: Upload): string {
  const extension = extname(filename);
  const stem = filename.slice(0, filename.length - extension.length);
  for (let candidate = filename, index = 1; ; candidate = `${stem} (${index})${extension}`, index += 1) {
    const path = join(folder, candidate);
    if (overwrites || !existsSync(path) || sha256(readFileSync(path)) === sha256(bytes)) return candidate;
  }
}

function nameOf(upload: Upload, name: string): { name: string; subfolder: string; type: FileType } {
  return { name, subfolder: upload.subfolder, type: upload.type };
}

function originalPath(files: FileStore, reference: unknown): string | null {
  if (!isRecord(reference)) throw new TypeError('original_ref is no object');
  const type = FILE_TYPES.find((each) => each === (reference['type'] ?? 'output')) ?? 'output';
  return files.existing(type, join(pythonStr(reference['subfolder'] ?? ''), pythonStr(reference['filename'])));
}

/** The upload's alpha channel put onto the original. */
async function masked(original: string, mask: Buffer): Promise<Buffer> {
  const { data, info } = await sharp(readFileSync(original)).removeAlpha().toBuffer({ resolveWithObject: true });
  const alpha = await sharp(mask).ensureAlpha().extractChannel('alpha').resize(info.width, info.height).toBuffer();
  return sharp(data).joinChannel(alpha).png().toBuffer();
}

function textOf(form: FormData, name: string): string | null {
  const value = form.get(name);
  return typeof value === 'string' ? value : null;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
