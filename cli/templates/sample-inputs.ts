import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import type { ComfyUIClient } from '../../activities/comfyui/comfyui-client.js';
import { inputObjectKey } from '../../workflows/domain/input-files.js';
import { isFileParameter } from '../../api/templates/template-manifest.js';
import type { FileParameterSpec } from '../../api/templates/template-manifest.js';
import type { Template } from '../../api/templates/template.js';
import type { ResolvedInput } from '../../api/uploads/resolve-inputs.js';
import { makeWithFfmpeg } from './make-with-ffmpeg.js';
import { sampleMask, samplePortrait } from './sample-pictures.js';

const VIDEO_PX = 128;
const SECONDS = 1;

/** A file that a tool brings in place of a caller's. */
export interface SampleInput {
  readonly input: ResolvedInput;
  readonly filename: string;
  readonly bytes: Buffer;
}
type SampleKind = FileParameterSpec['type'];

/** Files for the parameters of a template that want one, by name; `own` are files of the person at the terminal. */
export async function sampleInputsFor(
  { manifest }: Template,
  own: Readonly<Partial<Record<SampleKind, string>>> = {},
): Promise<ReadonlyMap<string, SampleInput>> {
  const samples = new Map<string, SampleInput>();
  for (const [name, spec] of Object.entries(manifest.parameters)) {
    if (isFileParameter(spec)) samples.set(name, await sampleInput(spec.type, own[spec.type]));
  }
  return samples;
}

/** Puts them where ComfyUI finds the callers' files. */
export async function bringSamples(client: ComfyUIClient, samples: Iterable<SampleInput>): Promise<void> {
  for (const { filename, bytes } of samples) {
    await client.uploadInput({ filename, bytes: new Blob([new Uint8Array(bytes)]) }, AbortSignal.timeout(60_000));
  }
}

async function sampleInput(type: SampleKind, own?: string): Promise<SampleInput> {
  if (type === 'video') return sampleVideo(own);
  if (type === 'audio') {
    const bytes = await (own === undefined ? makeWithFfmpeg(TONE) : readFile(own));
    return sampleOf(bytes, {
      kind: 'audio',
      extension: 'flac',
      mediaType: 'audio/flac',
      ...UNSIZED,
      durationSeconds: SECONDS,
    });
  }
  const picture = own === undefined ? await (type === 'mask' ? sampleMask() : samplePortrait()) : await readFile(own);
  const bytes = await sharp(picture).rotate().png().toBuffer({ resolveWithObject: true });
  const size = { widthPx: bytes.info.width, heightPx: bytes.info.height, hasSound: null };
  return sampleOf(bytes.data, {
    kind: 'image',
    extension: 'png',
    mediaType: 'image/png',
    ...size,
    durationSeconds: null,
  });
}

/** Of a video of one's own, nothing is measured: only a rendering that is checked needs it. */
async function sampleVideo(own?: string): Promise<SampleInput> {
  const bytes = await (own === undefined ? makeWithFfmpeg(TEST_VIDEO) : readFile(own));
  const measured = own === undefined ? MEASURED : UNMEASURED;
  return sampleOf(bytes, { kind: 'video', extension: 'mp4', mediaType: 'video/mp4', ...measured });
}

const UNSIZED = { widthPx: null, heightPx: null, hasSound: null };
const UNMEASURED = { ...UNSIZED, durationSeconds: null };
const MEASURED = { widthPx: VIDEO_PX, heightPx: VIDEO_PX, durationSeconds: SECONDS, hasSound: true };

function sampleOf(
  bytes: Buffer,
  {
    extension,
    ...facts
  }: { readonly extension: string } & Omit<ResolvedInput, 'uploadId' | 'sha256' | 'objectKey' | 'bytes'>,
): SampleInput {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const objectKey = inputObjectKey({ sha256, extension });
  const input = { ...facts, uploadId: `upl_${sha256.slice(0, 32)}`, sha256, objectKey, bytes: bytes.length };
  return { input, bytes, filename: `${sha256}.${extension}` };
}

const TEST_VIDEO = {
  args: [
    '-f',
    'lavfi',
    '-i',
    `testsrc=size=${VIDEO_PX}x${VIDEO_PX}:rate=25:duration=${SECONDS}`,
    '-f',
    'lavfi',
    '-i',
    `sine=frequency=440:duration=${SECONDS}`,
    '-c:v',
    'libx264',
    '-pix_fmt',
    'yuv420p',
    '-c:a',
    'aac',
  ],
  extension: 'mp4',
};
const TONE = { args: ['-f', 'lavfi', '-i', `sine=frequency=440:duration=${SECONDS}`], extension: 'flac' };
