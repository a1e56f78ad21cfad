import { readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import type { OutputReference } from '../../workflows/contracts/activities.js';
import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import { inspectImage } from './inspect-image.js';
import { inspectLatent } from './inspect-latent.js';
import { inspectRecording } from './inspect-recording.js';
import { UNTIMED, invalid } from './media-verdict.js';
import type { MediaVerdict } from './media-verdict.js';

export interface OutputInspection {
  readonly path: string;
  readonly reference: OutputReference;
  readonly expected: ExpectedOutputs;
  /** Decodes videos and sounds; `null` where there is none. */
  readonly ffmpegPath: string | null;
  readonly signal: AbortSignal;
}

/** Judges a file by its bytes, with the tools of its kind; a name only says which kind it wants to be. */
export async function inspectOutput(inspection: OutputInspection): Promise<MediaVerdict> {
  const { reference, expected } = inspection;
  const { kind } = reference;
  if (expected.kind !== null && expected.kind !== kind) {
    return invalid('wrong_kind', `it is of kind ${kind}, asked was ${expected.kind}`);
  }
  const verdict = await inspectedByKind(inspection);
  return typeFault(verdict, reference.file?.filename ?? '') ?? verdict;
}

/** Other names for the same. */
const SAME_EXTENSION: Readonly<Record<string, string>> = {
  jpeg: 'jpg',
  opus: 'ogg',
  oga: 'ogg',
  m4a: 'mp4',
  mka: 'mkv',
};

/** ComfyUI names what it writes by what it is; other bytes under that name have come from somewhere else. */
function typeFault(verdict: MediaVerdict, filename: string): MediaVerdict | null {
  if (!verdict.ok) return null;
  const claimed = extname(filename).slice(1).toLowerCase();
  const plain = (extension: string) => SAME_EXTENSION[extension] ?? extension;
  if (claimed === '' || plain(claimed) === plain(verdict.extension)) return null;
  return invalid('wrong_type', `it is ${verdict.mediaType}, under the name of a .${claimed}`);
}

async function inspectedByKind(inspection: OutputInspection): Promise<MediaVerdict> {
  const { path, reference, expected } = inspection;
  const { kind } = reference;
  switch (kind) {
    case 'image':
      return inspectImage(path, expected);
    case 'text':
      return inspectText(path);
    case 'latent':
      return inspectLatent(path);
    case 'video':
    case 'audio':
      return inspectRecording({ ...inspection, kind });
    case 'file':
      return inspectFile(path, reference.file?.filename ?? '');
  }
}

async function inspectText(path: string): Promise<MediaVerdict> {
  const bytes = await readFile(path);
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return invalid('not_text', 'it is not UTF-8');
  }
  if (bytes.length === 0) return invalid('empty', 'the text is empty');
  return { ok: true, ...UNTIMED, mediaType: 'text/plain; charset=utf-8', extension: 'txt' };
}

/** A mesh, an archive, …: nobody here can open it, so nothing but its bytes is promised, and no type that a browser runs. */
async function inspectFile(path: string, filename: string): Promise<MediaVerdict> {
  const { size } = await stat(path);
  if (size === 0) return invalid('empty', 'it has no bytes');
  const extension = /^\.([a-z0-9]{1,10})$/.exec(extname(filename).toLowerCase())?.[1] ?? 'bin';
  return { ok: true, ...UNTIMED, mediaType: 'application/octet-stream', extension };
}
