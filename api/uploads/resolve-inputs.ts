import pLimit from 'p-limit';
import type { Database } from '../../infra/postgres/database.js';
import { ProblemError } from '../problem-error.js';
import type { ProblemPlace } from '../problem-error.js';
import { InputFetchError } from './fetch-input.js';
import type { FetchInput } from './fetch-input.js';
import { UploadRefusedError } from './inspect-upload.js';
import type { UploadKind } from './inspect-upload.js';
import type { Uploads } from './uploads.js';

/** One place of a request that names a file. */
export interface WantedInput {
  /** JSON pointer into the body. */
  readonly pointer: string;
  readonly reference: string;
  /** What the place can use; `null`: anything. */
  readonly kind: UploadKind | null;
  readonly maxPixels?: number;
  readonly maxSeconds?: number;
}

/** The file behind a reference. */
export interface ResolvedInput {
  readonly uploadId: string;
  readonly sha256: string;
  readonly objectKey: string;
  readonly bytes: number;
  readonly kind: UploadKind;
  readonly mediaType: string;
  readonly widthPx: number | null;
  readonly heightPx: number | null;
  readonly durationSeconds: number | null;
  /** `null`: nobody has looked. */
  readonly hasSound: boolean | null;
}

/** By pointer. Throws one `ProblemError` that lists every place whose file cannot be used. */
export type ResolveInputs = (wanted: readonly WantedInput[]) => Promise<ReadonlyMap<string, ResolvedInput>>;

/** Addresses that one request may have fetched at the same time. */
const MAX_FETCHES = 4;

export function createResolveInputs(deps: {
  readonly database: Database;
  readonly uploads: Uploads;
  readonly fetchInput: FetchInput;
}): ResolveInputs {
  const { database, uploads, fetchInput } = deps;
  return async function resolveInputs(wanted) {
    const references = [...new Set(wanted.map(({ reference }) => reference))];
    const limit = pLimit(MAX_FETCHES);
    const known = new Map(
      await Promise.all(
        references.map((reference) =>
          limit(async () => [reference, await uploaded(reference, uploads, fetchInput)] as const),
        ),
      ),
    );
    const ids = [...known.values()].filter((id): id is string => typeof id === 'string');
    const files = await filesOf(database, ids);
    const resolved = new Map<string, ResolvedInput>();
    const places: ProblemPlace[] = [];
    for (const want of wanted) {
      const id = known.get(want.reference);
      const file = typeof id === 'string' ? files.get(id) : undefined;
      const fault = id instanceof UnusableInput ? id.message : misfit(want, file);
      if (fault !== null) places.push({ pointer: want.pointer, message: fault });
      else if (file !== undefined) resolved.set(want.pointer, file);
    }
    const [first] = places;
    if (first === undefined) return resolved;
    throw new ProblemError('input_unusable', `${first.pointer} ${first.message}.`, { places });
  };
}

/** Told of a place of the request; the message follows on the pointer. */
class UnusableInput {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** The id of the upload; what lies at an address becomes an upload, too, so that a retry has the very same bytes. */
async function uploaded(
  reference: string,
  ...[uploads, fetchInput]: [Uploads, FetchInput]
): Promise<string | UnusableInput> {
  if (reference.startsWith('upl_')) return reference;
  try {
    return (await uploads.add(async (path) => fetchInput(reference, path))).id;
  } catch (error) {
    if (error instanceof InputFetchError) return new UnusableInput(`names an address that ${error.message}`);
    if (error instanceof UploadRefusedError) return new UnusableInput(`names an address whose file ${error.message}`);
    throw error;
  }
}

async function filesOf(database: Database, ids: readonly string[]): Promise<ReadonlyMap<string, ResolvedInput>> {
  if (ids.length === 0) return new Map();
  const rows = await database.selectFrom('uploads').selectAll().where('id', 'in', ids).execute();
  const files = rows.flatMap((row): readonly (readonly [string, ResolvedInput])[] => {
    const { id, sha256, object_key: objectKey, kind, media_type: mediaType } = row;
    if (sha256 === null || objectKey === null || kind === null || mediaType === null) return [];
    const size = { widthPx: row.width_px, heightPx: row.height_px };
    const facts = { ...size, durationSeconds: row.duration_seconds, hasSound: row.has_sound };
    return [[id, { uploadId: id, sha256, objectKey, bytes: Number(row.bytes), kind, mediaType, ...facts }]];
  });
  return new Map(files);
}

function misfit({ reference, kind, maxPixels, maxSeconds }: WantedInput, file?: ResolvedInput): string | null {
  if (file === undefined) return `names ${reference}, which is no upload that is ready; it may have been removed`;
  if (kind !== null && file.kind !== kind) return `must be of kind ${kind}, but ${reference} is of kind ${file.kind}`;
  const pixels = (file.widthPx ?? 0) * (file.heightPx ?? 0);
  if (maxPixels !== undefined && pixels > maxPixels) {
    return `may have ${maxPixels} pixels, but ${reference} has ${file.widthPx ?? 0}×${file.heightPx ?? 0}`;
  }
  const seconds = file.durationSeconds ?? 0;
  if (maxSeconds === undefined || seconds <= maxSeconds) return null;
  return `may take ${maxSeconds} s, but ${reference} takes ${seconds.toFixed(1)} s`;
}
