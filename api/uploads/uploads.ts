import type { Selectable } from 'kysely';
import { v7 as uuidv7 } from 'uuid';
import { lockInput } from '../../activities/database/lock-input.js';
import type { ObjectStore } from '../../activities/storage/object-store.js';
import type { Database } from '../../infra/postgres/database.js';
import type { Scratch } from '../../infra/runtime/scratch.js';
import type { UploadsTable } from '../../infra/postgres/database-schema.js';
import { inputObjectKey } from '../../workflows/domain/input-files.js';
import { ProblemError } from '../problem-error.js';
import type { UploadView } from '../schemas/upload-view.js';
import { inspectUpload } from './inspect-upload.js';
import type { InspectedUpload } from './inspect-upload.js';

export interface UploadsDeps {
  readonly database: Database;
  readonly store: ObjectStore;
  readonly scratch: Scratch;
  readonly maxInputPixels: number;
  readonly ffmpegPath: string | null;
}

/** Files that callers brought: decoded, stored once under their hash, and named by an id. */
export interface Uploads {
  /** `write` fetches or receives the bytes. Throws `UploadRefusedError` for what is no picture, video or sound. */
  add(write: (path: string) => Promise<unknown>): Promise<UploadView>;
  /** Throws `upload_not_found`. */
  read(id: string): Promise<UploadView>;
}

/** Decoding takes seconds at most; a video of an hour would not be decoded here. */
const INSPECT_MS = 120_000;

export function createUploads({ database, store, scratch, maxInputPixels, ffmpegPath }: UploadsDeps): Uploads {
  return {
    add: async (write) =>
      scratch.use(async (path) => {
        await write(path);
        const signal = AbortSignal.timeout(INSPECT_MS);
        const file = await inspectUpload({ path, maxPixels: maxInputPixels, ffmpegPath, signal });
        return viewOf(await keep({ database, store }, file));
      }),
    async read(id) {
      const row = await database.selectFrom('uploads').selectAll().where('id', '=', id).executeTakeFirst();
      if (row === undefined) throw new ProblemError('upload_not_found', `There is no upload ${id}.`);
      return viewOf(row);
    },
  };
}

type UploadRow = Selectable<UploadsTable>;

/** The object first, the row second; under the lock, because the upkeep removes both when nobody uses them any more. */
async function keep(
  { database, store }: Pick<UploadsDeps, 'database' | 'store'>,
  file: InspectedUpload,
): Promise<UploadRow> {
  const { sha256, extension, bytes, mediaType } = file;
  const objectKey = inputObjectKey({ sha256, extension });
  const put = async () =>
    store.putFile(objectKey, {
      ...{ path: file.path, bytes, sha256, mediaType },
      metadata: {},
      condition: { kind: 'absent' },
    });
  await put(); // before the lock, which others wait for
  return database.transaction().execute(async (transaction) => {
    await lockInput(transaction, sha256);
    if ((await store.facts(objectKey)) === null) await put();
    return transaction
      .insertInto('uploads')
      .values({
        id: `upl_${uuidv7().replaceAll('-', '')}`,
        object_key: objectKey,
        ...{ bytes, sha256, kind: file.kind, media_type: mediaType },
        ...{ width_px: file.widthPx, height_px: file.heightPx, duration_seconds: file.durationSeconds },
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  });
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
