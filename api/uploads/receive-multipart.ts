import { createWriteStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Busboy } from '@fastify/busboy';
import type { BusboyHeaders, BusboyInstance } from '@fastify/busboy';
import type { Request } from 'express';
import { ProblemError } from '../problem-error.js';

const FIELD = 'file';
const REMEDY = 'Send multipart/form-data with one file in the field `file`: curl -F file=@picture.png …/v1/uploads';

/** Writes the one file of a form to disk as it arrives. Nothing of what the caller calls it is used. */
export async function receiveMultipart(
  request: Request,
  { path, maxBytes, signal }: { readonly path: string; readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<void> {
  const parser = parserOf(request, maxBytes);
  const form: { file: Readable | null; written: Promise<void> | null; refusal: ProblemError | null } = {
    ...{ file: null, written: null, refusal: null },
  };
  const refuse = (problem: ProblemError, file?: Readable) => {
    form.refusal ??= problem;
    file?.resume(); // the rest of the form is read, so that the caller reads the answer
  };
  parser.on('file', (field, file) => {
    if (field !== FIELD) refuse(wrongForm(`The form has a file in the field "${field}".`), file);
    else if (form.file !== null) refuse(wrongForm('The form has more than one file.'), file);
    else {
      file.on('limit', () => {
        refuse(tooLarge(maxBytes));
      });
      form.file = file;
      form.written = pipeline(file, createWriteStream(path, { flags: 'wx' }));
      form.written.catch(() => undefined); // awaited below; a form that breaks off is told by the parser first
    }
  });
  parser.on('field', (field) => {
    refuse(wrongForm(`The form has a field "${field}" that is no file.`));
  });
  parser.on('partsLimit', () => {
    refuse(wrongForm('The form has too many parts.'));
  });
  try {
    await pipeline(request, parser, { signal });
  } catch (error) {
    form.file?.destroy();
    signal.throwIfAborted();
    throw new ProblemError('invalid_upload', `The form cannot be read: ${wordsOf(error)}.`, { remedy: REMEDY });
  }
  await form.written;
  if (form.refusal !== null) throw form.refusal;
  if (form.file === null) throw wrongForm('The form has no file.');
}

function parserOf(request: Request, maxBytes: number): BusboyInstance {
  try {
    return new Busboy({
      headers: request.headers as BusboyHeaders,
      limits: {
        fileSize: maxBytes,
        files: 2,
        fields: 1,
        parts: 3,
        fieldSize: 1_024,
        headerPairs: 20,
        headerSize: 4_096,
      },
    });
  } catch (error) {
    throw new ProblemError('invalid_upload', `The form cannot be read: ${wordsOf(error)}.`, { remedy: REMEDY });
  }
}

function wrongForm(detail: string): ProblemError {
  return new ProblemError('invalid_upload', detail, { remedy: REMEDY });
}

/** Not the words of a JSON body, whose limit is another. */
function tooLarge(maxBytes: number): ProblemError {
  return new ProblemError('body_too_large', `The file has more than ${maxBytes} bytes.`, {
    remedy: 'Send a smaller file; operators raise MAX_UPLOAD_BYTES.',
  });
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
