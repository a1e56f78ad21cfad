import { createReadStream } from 'node:fs';
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import sharp from 'sharp';
import { inspectImage } from '../../activities/media/inspect-image.js';
import { inspectRecording } from '../../activities/media/inspect-recording.js';
import type { MediaVerdict } from '../../activities/media/media-verdict.js';
import type { ExpectedOutputs } from '../../workflows/contracts/generation.js';
import type { MediaFault } from '../../workflows/domain/media-signature.js';

/** A file that is no picture, video or sound which nodes can load; the message follows on "the file". */
export class UploadRefusedError extends Error {
  override readonly name = 'UploadRefusedError';
}

export const UPLOAD_KINDS = ['image', 'video', 'audio'] as const;
export type UploadKind = (typeof UPLOAD_KINDS)[number];

/** A file that was decoded, as it is to be stored. */
export interface InspectedUpload {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly kind: UploadKind;
  readonly mediaType: string;
  readonly extension: string;
  readonly widthPx: number | null;
  readonly heightPx: number | null;
  readonly durationSeconds: number | null;
  /** Of a video; `null` for anything else. */
  readonly hasSound: boolean | null;
}

export interface UploadInspection {
  readonly path: string;
  readonly maxPixels: number;
  readonly ffmpegPath: string | null;
  readonly signal: AbortSignal;
}

const ANYTHING: ExpectedOutputs = {
  ...{ kind: null, widthPx: null, heightPx: null, count: null, frames: null, durationSeconds: null },
  flatImages: 'allow',
};

/** Decodes a file whatever it is called; what a camera has turned by its EXIF orientation is turned in fact. */
export async function inspectUpload(inspection: UploadInspection): Promise<InspectedUpload> {
  const { verdict, kind } = await judged(inspection);
  if (!verdict.ok) throw new UploadRefusedError(refusalOf(verdict));
  const { widthPx, heightPx, durationSeconds, hasSound = null } = verdict;
  const pixels = (widthPx ?? 0) * (heightPx ?? 0);
  if (pixels > inspection.maxPixels) {
    throw new UploadRefusedError(`has ${pixels} pixels; at most ${inspection.maxPixels} are allowed`);
  }
  const upright = kind === 'image' ? await uprightOf(inspection.path) : null;
  const { mediaType, extension } = verdict;
  const facts = { kind, mediaType, extension, widthPx, heightPx, durationSeconds, hasSound };
  if (upright === null) return { ...facts, ...(await countedFile(inspection.path)) };
  return { ...facts, ...upright, ...(await countedFile(upright.path)) };
}

interface Judgement {
  readonly kind: UploadKind;
  readonly verdict: MediaVerdict;
}

/** By its bytes: a picture, else a video, else a sound. */
async function judged({ path, ffmpegPath, signal }: UploadInspection): Promise<Judgement> {
  const image = await inspectImage(path, ANYTHING);
  if (image.ok || image.fault !== 'unknown_signature') return { kind: 'image', verdict: image };
  const recording = { path, expected: ANYTHING, ffmpegPath, signal };
  const video = await inspectRecording({ ...recording, kind: 'video' });
  if (video.ok || video.fault !== 'wrong_kind') return { kind: 'video', verdict: video };
  return { kind: 'audio', verdict: await inspectRecording({ ...recording, kind: 'audio' }) };
}

const FAULT_WORDS: Partial<Readonly<Record<MediaFault, string>>> = {
  empty: 'has no bytes',
  unknown_signature:
    'is none that ComfyUI can load here: send PNG, JPEG, WebP or GIF; MP4, MOV, WebM or Matroska; FLAC, MP3, Opus or WAV (a HEIC of a phone as JPEG)',
};

function refusalOf({ fault, detail }: Extract<MediaVerdict, { readonly ok: false }>): string {
  return FAULT_WORDS[fault] ?? `cannot be decoded: ${detail} (${fault})`;
}

type Upright = Pick<InspectedUpload, 'path' | 'mediaType' | 'extension' | 'widthPx' | 'heightPx'>;

/** Not every loader of ComfyUI looks at EXIF, and fal.ai does not: turned without loss, once, for all of them. */
async function uprightOf(path: string): Promise<Upright | null> {
  const { orientation = 1 } = await sharp(path).metadata();
  if (orientation === 1) return null;
  const turned = `${path}.upright.png`;
  const { width, height } = await sharp(path).autoOrient().png().toFile(turned);
  return { path: turned, mediaType: 'image/png', extension: 'png', widthPx: width, heightPx: height };
}

async function countedFile(path: string): Promise<Pick<InspectedUpload, 'path' | 'bytes' | 'sha256'>> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path) as AsyncIterable<Uint8Array>) hash.update(chunk);
  return { path, bytes: (await stat(path)).size, sha256: hash.digest('hex') };
}
