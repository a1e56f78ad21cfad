import type { Selectable, Transaction } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { lockInput } from '../../activities/database/lock-input.js';
import { writeCounted } from '../../activities/spool/write-counted.js';
import { ObjectStoreError } from '../../activities/storage/errors.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import type { CreateUploadForm } from '../../activities/storage/upload-forms.js';
import type { Database } from '../../infra/postgres/database.js';
import type { DatabaseSchema, UploadsTable } from '../../infra/postgres/database-schema.js';
import type { Scratch } from '../../infra/runtime/scratch.js';
import { incomingObjectKey, inputObjectKey } from '../../workflows/domain/input-files.js';
import { ProblemError } from '../problem-error.js';
import type { AnnouncedUploadView, UploadView } from '../schemas/upload-view.js';
import { UploadRefusedError, inspectUpload } from './inspect-upload.js';
import type { InspectedUpload } from './inspect-upload.js';

export interface UploadsDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly scratch: Scratch;
  readonly maxInputPixels: number;
  readonly ffmpegPath: string | null;
  /** `null`: callers do not reach the store. */
  readonly createUploadForm: CreateUploadForm | null;
}

/** Files that callers brought: decoded, stored once under their hash, and named by an id. */
export interface Uploads {
  /** `write` fetches or receives the bytes. Throws `UploadRefusedError` for what is no picture, video or sound. */
  add(write: (path: string) => Promise<unknown>): Promise<UploadView>;
  /** For a file that the caller sends to the store itself; it is looked at by `complete`. */
  announce(bytes: number): Promise<AnnouncedUploadView>;
  /** Throws `UploadRefusedError`, also while the file has not arrived. Does nothing once it is done. */
  complete(id: string): Promise<UploadView>;
  /** Throws `upload_not_found`. */
  read(id: string): Promise<UploadView>;
}

/** Decoding takes seconds at most; a video of an hour would not be decoded here. */
const INSPECT_MS = 120_000;

export function createUploads(deps: UploadsDeps): Uploads {
  const { database, scratch, createUploadForm } = deps;
  return {
    add: async (write) =>
      scratch.use(async (path) => {
        await write(path);
        const file = await inspected(deps, path);
        return viewOf(await keep(deps, file, async (transaction, facts) => insert(transaction, facts)));
      }),
    async announce(bytes) {
      if (createUploadForm === null) {
        throw new ProblemError('download_links_disabled', 'S3_PUBLIC_ENDPOINT is not set for this API.', {
          remedy: 'Send the file itself, as multipart/form-data.',
        });
      }
      const row = await insert(database, { bytes });
      const { url, fields, expiresAt } = await createUploadForm(incomingObjectKey(row.id), bytes);
      return { ...viewOf(row), form: { url, fields, expiresAt: expiresAt.toISOString() } };
    },
    async complete(id) {
      const row = await rowOf(database, id);
      if (row.sha256 !== null) return viewOf(row);
      return scratch.use(async (path) => {
        await fetchIncoming(deps.store, row, path);
        const file = await inspected(deps, path);
        const kept = await keep(deps, file, async (transaction, facts) => complete(transaction, id, facts));
        await deps.store.remove(incomingObjectKey(id));
        return viewOf(kept);
      });
    },
    read: async (id) => viewOf(await rowOf(database, id)),
  };
}

type UploadRow = Selectable<UploadsTable>;
type Connection = Database | Transaction<DatabaseSchema>;
type UploadFacts = Partial<Omit<UploadRow, 'bytes' | 'created_at' | 'used_at'>> & { readonly bytes: number };

async function rowOf(database: Database, id: string): Promise<UploadRow> {
  const row = await database.selectFrom('uploads').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new ProblemError('upload_not_found', `There is no upload ${id}.`);
  return row;
}

async function inspected({ maxInputPixels, ffmpegPath }: UploadsDeps, path: string): Promise<InspectedUpload> {
  const signal = AbortSignal.timeout(INSPECT_MS);
  return inspectUpload({ path, maxPixels: maxInputPixels, ffmpegPath, signal });
}

async function fetchIncoming(store: ObjectStore, { id, bytes }: UploadRow, path: string): Promise<void> {
  const key = incomingObjectKey(id);
  const body = await store.open(key).catch((error: unknown) => {
    const isAbsent = error instanceof ObjectStoreError && error.code === 'NoSuchKey';
    throw isAbsent ? new UploadRefusedError('has not arrived in the object store') : error;
  });
  await writeCounted({
    ...{ body, path, from: 'the object store', announced: bytes, maxBytes: Number(bytes) },
    signal: AbortSignal.timeout(INSPECT_MS),
    errors: {
      refused: (message) => new UploadRefusedError(`is not what was announced: ${message}`),
      broken: (_message, { cause }) => new ObjectStoreError(key, { cause }),
    },
  });
}

/** The object first, the row second; under the lock, because the upkeep removes both when nobody uses them any more. */
async function keep(
  { database, store }: UploadsDeps,
  ...[file, save]: [
    InspectedUpload,
    (transaction: Transaction<DatabaseSchema>, facts: UploadFacts) => Promise<UploadRow>,
  ]
): Promise<UploadRow> {
  const { path, sha256, extension, bytes, mediaType, kind } = file;
  const objectKey = inputObjectKey({ sha256, extension });
  const put = async () =>
    store.putFile(objectKey, { path, bytes, sha256, mediaType, metadata: {}, condition: { kind: 'absent' } });
  await put(); // before the lock, which others wait for
  return database.transaction().execute(async (transaction) => {
    await lockInput(transaction, sha256);
    if ((await store.facts(objectKey)) === null) await put();
    return save(transaction, {
      ...{ bytes, sha256, kind, media_type: mediaType, object_key: objectKey },
      ...{ width_px: file.widthPx, height_px: file.heightPx, duration_seconds: file.durationSeconds },
      has_sound: file.hasSound,
    });
  });
}

async function insert(connection: Connection, facts: UploadFacts): Promise<UploadRow> {
  const id = `upl_${uuidv7().replaceAll('-', '')}`;
  return connection
    .insertInto('uploads')
    .values({ ...facts, id })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Whoever completes it at the same moment has the same bytes. */
async function complete(connection: Connection, ...[id, facts]: [string, UploadFacts]): Promise<UploadRow> {
  const update = connection.updateTable('uploads').set({ ...facts, used_at: new Date() });
  const row = await update.where('id', '=', id).returningAll().executeTakeFirst();
  if (row === undefined) throw new ProblemError('upload_not_found', `The upload ${id} has been removed meanwhile.`);
  return row;
}

function viewOf(row: UploadRow): UploadView {
  return {
    id: row.id,
    url: `/v1/uploads/${row.id}`,
    status: row.sha256 === null ? 'waiting' : 'ready',
    bytes: Number(row.bytes),
    sha256: row.sha256,
    kind: row.kind,
    mediaType: row.media_type,
    width: row.width_px,
    height: row.height_px,
    durationSeconds: row.duration_seconds,
    createdAt: row.created_at.toISOString(),
  };
}
