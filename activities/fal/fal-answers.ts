import { z } from 'zod';
import type { FalFile, FalResult } from '../../workflows/contracts/fal.js';
import type { FalInputFault } from '../../workflows/domain/classify-fal-error.js';
import { FalNoFileError, NotFalError } from './errors.js';

/** How a request stands. A failure is COMPLETED, too; some failures show only in the result. */
export type FalStatus =
  | { readonly status: 'queued'; readonly queuePosition: number | null }
  | { readonly status: 'running'; readonly lastLog: string | null }
  | { readonly status: 'completed'; readonly failure: FalFailure | null; readonly inferenceSeconds: number | null };

export interface FalFailure {
  readonly errorType: string | null;
  readonly detail: string;
}

const MAX_TEXT_CHARS = 500;
const MAX_FAULTS = 20;
const shortText = z.string().transform((text) => text.slice(0, MAX_TEXT_CHARS));
/** A field that is absent, `null` or of another type says nothing: models differ in them. */
const optional = <T extends z.ZodType>(schema: T) => schema.nullable().catch(null).default(null);

const statusSchema = z.object({
  status: z.string(),
  queue_position: optional(z.number().int().nonnegative()),
  logs: optional(z.array(z.object({ message: shortText }))),
  metrics: optional(z.object({ inference_time: optional(z.number().nonnegative()) })),
  error: optional(shortText),
  error_type: optional(shortText),
});

/** Reads an answer about a request; a status that fal may add counts as running, and the deadline ends it. */
export function falStatusFrom(json: unknown): FalStatus {
  const parsed = statusSchema.safeParse(json);
  if (!parsed.success) throw new NotFalError('The status of the request is none that fal.ai would answer');
  const { status, queue_position: queuePosition, logs, metrics, error, error_type: errorType } = parsed.data;
  if (status === 'IN_QUEUE') return { status: 'queued', queuePosition };
  if (status !== 'COMPLETED') return { status: 'running', lastLog: logs?.at(-1)?.message ?? null };
  const hasFailed = error !== null || errorType !== null;
  return {
    status: 'completed',
    failure: hasFailed ? { errorType, detail: error ?? 'no reason given' } : null,
    inferenceSeconds: metrics?.inference_time ?? null,
  };
}

const submittedSchema = z.object({ request_id: z.string().regex(/^[\w.-]{1,100}$/) });

/** The id that fal gave a request, `null` when the answer is none of fal's. */
export function requestIdFrom(json: unknown): string | null {
  const parsed = submittedSchema.safeParse(json);
  return parsed.success ? parsed.data.request_id : null;
}

const detailSchema = z.object({
  detail: z.array(
    z.object({
      loc: optional(z.array(z.union([z.string(), z.number()]))),
      msg: shortText.catch(''),
      type: shortText.catch('unknown'),
    }),
  ),
});

/** `detail[]` of a 422; without what was sent, which fal repeats in it. */
export function inputFaultsFrom(json: unknown): readonly FalInputFault[] {
  const parsed = detailSchema.safeParse(json);
  if (!parsed.success) return [];
  return parsed.data.detail.slice(0, MAX_FAULTS).map(({ loc, msg, type }) => ({
    field: (loc ?? []).filter((part) => part !== 'body').join('.'),
    message: msg,
    type,
  }));
}

const errorTypeSchema = z.object({ error_type: shortText });

/** fal's word for what happened to a request; without it a status is that of the exchange, not of the request. */
export function errorTypeFrom(json: unknown): string | null {
  const parsed = errorTypeSchema.safeParse(json);
  return parsed.success ? parsed.data.error_type : null;
}

/** Under which names models deliver; others may be addresses of what was sent. */
const FILE_FIELDS = ['images', 'image', 'videos', 'video', 'audio', 'audio_file', 'files', 'file'] as const;

const fileSchema = z.object({
  url: z.string().min(1),
  content_type: optional(shortText),
  width: optional(z.number().int().positive()),
  height: optional(z.number().int().positive()),
  file_size: optional(z.number().int().nonnegative()),
});
const resultSchema = z.looseObject({
  seed: optional(z.number().int().refine(Number.isSafeInteger)),
  has_nsfw_concepts: optional(z.array(z.boolean())),
  timings: optional(z.object({ inference: optional(z.number().nonnegative()) })),
});

/** Reads a result; throws `FalNoFileError` when there is nothing in it to deliver. */
export function falResultFrom(json: unknown): FalResult {
  const parsed = resultSchema.safeParse(json);
  if (!parsed.success) throw new NotFalError('The result of the request is none that fal.ai would answer');
  const { seed, has_nsfw_concepts: flags, timings } = parsed.data;
  const values = FILE_FIELDS.flatMap((field) => parsed.data[field] ?? []);
  const files = values.flatMap((value) => {
    const file = fileSchema.safeParse(value);
    return file.success ? [file.data] : [];
  });
  if (files.length === 0) throw new FalNoFileError(Object.keys(parsed.data));
  return {
    seed,
    inferenceSeconds: timings?.inference ?? null,
    files: files.map((file, index) => fileOf(file, flags?.[index] ?? null)),
  };
}

function fileOf(file: z.infer<typeof fileSchema>, isFlagged: boolean | null): FalFile {
  return {
    url: file.url,
    contentType: file.content_type,
    widthPx: file.width,
    heightPx: file.height,
    bytes: file.file_size,
    isFlagged,
  };
}
