import { readFile } from 'node:fs/promises';
import type { ExpectedOutputs, OutputKind } from '../../workflows/contracts/generation.js';
import type { MediaFault } from '../../workflows/domain/media-signature.js';
import { inspectImage } from './inspect-image.js';

export type OutputInspection =
  | {
      readonly ok: true;
      readonly mediaType: string;
      readonly extension: string;
      readonly widthPx: number | null;
      readonly heightPx: number | null;
      readonly isFlat: boolean;
    }
  | { readonly ok: false; readonly fault: MediaFault; readonly detail: string };

/** Judges a file by its bytes, with the tools of its kind. What cannot be decoded here is never delivered unchecked. */
export async function inspectOutput(
  path: string,
  kind: OutputKind,
  expected: ExpectedOutputs,
): Promise<OutputInspection> {
  switch (kind) {
    case 'image':
      return inspectImage(path, expected);
    case 'text':
      return inspectText(path);
    case 'video':
    case 'audio':
    case 'latent':
    case 'file':
      return {
        ok: false,
        fault: 'unsupported_kind',
        detail: `outputs of kind ${kind} cannot be checked by this version`,
      };
  }
}

async function inspectText(path: string): Promise<OutputInspection> {
  const bytes = await readFile(path);
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return { ok: false, fault: 'not_text', detail: 'it is not UTF-8' };
  }
  if (bytes.length === 0) return { ok: false, fault: 'empty', detail: 'the text is empty' };
  return {
    ok: true,
    mediaType: 'text/plain; charset=utf-8',
    extension: 'txt',
    widthPx: null,
    heightPx: null,
    isFlat: false,
  };
}
