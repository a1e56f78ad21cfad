import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Client } from 'minio';
import type { StorageConfig } from '../../infra/runtime/storage-config.js';
import { ObjectStoreError, codeOf } from './errors.js';
import { listObjects } from './list-objects.js';
import type { StoredObject } from './list-objects.js';
import { createS3Client } from './s3-client.js';

/** What must hold for a write to happen: compare-and-set, decided by the store. */
export type WriteCondition =
  { readonly kind: 'absent' } | { readonly kind: 'matches'; readonly etag: string } | { readonly kind: 'always' };

export type WriteResult = { readonly ok: true; readonly etag: string } | { readonly ok: false };

export interface ObjectFacts {
  readonly bytes: number;
  readonly etag: string;
  readonly mediaType: string;
  /** Lower-case hex as the store computed it at the upload; `null` when it was sent none or keeps none. */
  readonly sha256: string | null;
  /** User metadata, keys in lower case without `x-amz-meta-`. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface FileUpload {
  readonly path: string;
  readonly bytes: number;
  /** Lower-case hex; signed, so that the store itself refuses other bytes. */
  readonly sha256: string;
  readonly mediaType: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly condition: WriteCondition;
}

/** The object store as this project uses it: nothing here needs more than S3. Every call throws `ObjectStoreError`. */
export interface ObjectStore {
  readJson(key: string): Promise<{ readonly value: unknown; readonly etag: string } | null>;
  writeJson(key: string, value: unknown, condition: WriteCondition): Promise<WriteResult>;
  putFile(key: string, upload: FileUpload): Promise<WriteResult>;
  /** Within the store; what is there is replaced. Throws when the source is not there. */
  copy(source: string, key: string, facts: Pick<ObjectFacts, 'mediaType' | 'metadata'>): Promise<void>;
  facts(key: string): Promise<ObjectFacts | null>;
  /** Bytes from `offset`, `length` of them or all; the caller reads or destroys the stream. */
  open(key: string, range?: { readonly offset: number; readonly length: number }): Promise<Readable>;
  keysUnder(prefix: string): Promise<readonly string[]>;
  /** In the order of their keys, read page by page: whoever has enough stops. */
  objectsUnder(prefix: string): AsyncIterable<StoredObject>;
  /** Removes an object; one that is not there is removed already. */
  remove(key: string): Promise<void>;
  /** Resolves when the bucket can be reached. */
  check(): Promise<void>;
  createBucketIfAbsent(): Promise<void>;
}

/** No JSON document of ours is larger; a larger one is not ours. */
const MAX_JSON_BYTES = 16 * 1024 * 1024;

/** A store over the minio client, without the client's own retries: those are Temporal's. */
export function createObjectStore(config: StorageConfig): ObjectStore {
  const { bucket } = config;
  const isSecure = config.endpoint.protocol === 'https:';
  const client = createS3Client(config, config.endpoint);

  return {
    readJson: (key) => translate(key, async () => readJson(client, bucket, key)),
    writeJson: (key, value, condition) =>
      conditional(key, async () => {
        const headers = { 'Content-Type': 'application/json', ...headersOf(condition) };
        const { etag } = await client.putObject(bucket, key, Buffer.from(JSON.stringify(value)), undefined, headers);
        return etag;
      }),
    putFile: (key, upload) => conditional(key, async () => putFile({ client, bucket, key, isSecure }, upload)),
    copy: (source, key, facts) => translate(key, async () => copyObject(client, { bucket, source, key, ...facts })),
    facts: (key) => translate(key, async () => ignoreAbsence(factsOf(client, bucket, key))),
    open: (key, range) =>
      translate(key, async () =>
        range === undefined
          ? client.getObject(bucket, key)
          : client.getPartialObject(bucket, key, range.offset, range.length),
      ),
    keysUnder: async (prefix) => {
      const keys: string[] = [];
      for await (const { key } of objectsUnder(client, bucket, prefix)) keys.push(key);
      return keys;
    },
    objectsUnder: (prefix) => objectsUnder(client, bucket, prefix),
    remove: (key) => translate(key, async () => client.removeObject(bucket, key)),
    check: () =>
      translate(bucket, async () => {
        if (!(await client.bucketExists(bucket))) throw new Error(`The bucket ${bucket} does not exist`);
      }),
    createBucketIfAbsent: () => translate(bucket, async () => createBucket(client, config)),
  };
}

const METADATA_PREFIX = 'x-amz-meta-';

function metadataHeaders(metadata: ObjectFacts['metadata']): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`${METADATA_PREFIX}${name}`, value]));
}

/** One request: the ETag is that of this very response, and the size is counted, not asked for first. */
async function readJson(client: Client, bucket: string, key: string) {
  const response = await ignoreAbsence(client.getObject(bucket, key));
  if (response === null) return null;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_JSON_BYTES) throw new Error(`${key} is larger than any document of ours`);
    chunks.push(Buffer.from(chunk));
  }
  const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  return { value, etag: etagOf(response) };
}

/** The client promises a stream; what it gives is the response. */
function etagOf(response: Readable): string {
  const headers = 'headers' in response ? (response.headers as Record<string, unknown>) : {};
  if (typeof headers['etag'] !== 'string') throw new Error('the store sent no ETag');
  return bareEtag(headers['etag']);
}

/** Without quotes, and without the `W/` that a proxy which compresses puts before it. */
function bareEtag(text = ''): string {
  return text.replace(/^W\//, '').replaceAll('"', '');
}

async function putFile(
  target: { readonly client: Client; readonly bucket: string; readonly key: string; readonly isSecure: boolean },
  upload: FileUpload,
): Promise<string> {
  const headers = {
    'Content-Length': String(upload.bytes),
    'Content-Type': upload.mediaType,
    'x-amz-checksum-sha256': Buffer.from(upload.sha256, 'hex').toString('base64'),
    ...metadataHeaders(upload.metadata),
    ...headersOf(upload.condition),
  };
  // putObject reads a whole stream into memory first; this call streams, and signs the hash that we know already.
  // Over TLS the client signs no payload, so the comparison after the upload is what catches a changed byte.
  const response = await target.client.makeRequestStreamAsync(
    { method: 'PUT', bucketName: target.bucket, objectName: target.key, headers },
    // No byte more than announced, should the file have grown: it would be read as the next request of this connection.
    createReadStream(upload.path, { end: upload.bytes - 1 }),
    target.isSecure ? '' : upload.sha256,
    [200],
    '',
  );
  response.resume();
  return bareEtag(response.headers.etag);
}

/** A request of our own: copyObject of the client cannot give the copy a media type beside other metadata. */
async function copyObject(
  client: Client,
  copy: { readonly bucket: string; readonly source: string; readonly key: string } & Pick<
    ObjectFacts,
    'mediaType' | 'metadata'
  >,
): Promise<void> {
  const { bucket, source, key, mediaType, metadata } = copy;
  const headers = {
    'x-amz-copy-source': encodeURI(`/${bucket}/${source}`),
    'x-amz-metadata-directive': 'REPLACE',
    'x-amz-checksum-algorithm': 'SHA256',
    'Content-Type': mediaType,
    ...metadataHeaders(metadata),
  };
  await client.makeRequestAsyncOmit({ method: 'PUT', bucketName: bucket, objectName: key, headers });
}

/** A HEAD of our own: statObject of the client cannot ask for the checksum. */
async function factsOf(client: Client, bucket: string, key: string): Promise<ObjectFacts> {
  const request = {
    method: 'HEAD',
    bucketName: bucket,
    objectName: key,
    headers: { 'x-amz-checksum-mode': 'ENABLED' },
  };
  const { headers } = await client.makeRequestAsyncOmit(request);
  const checksum = headers['x-amz-checksum-sha256'];
  const metadata = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith(METADATA_PREFIX) ? [[name.slice(METADATA_PREFIX.length), String(value)] as const] : [],
  );
  return {
    bytes: Number(headers['content-length']),
    etag: bareEtag(headers.etag),
    mediaType: headers['content-type'] ?? 'application/octet-stream',
    sha256: typeof checksum === 'string' ? Buffer.from(checksum, 'base64').toString('hex') : null,
    metadata: Object.fromEntries(metadata),
  };
}

async function createBucket(client: Client, config: StorageConfig): Promise<void> {
  if (await client.bucketExists(config.bucket)) return;
  try {
    await client.makeBucket(config.bucket, config.region);
  } catch (error) {
    if (codeOf(error) !== 'BucketAlreadyOwnedByYou') throw error; // another process was faster
  }
}

function headersOf(condition: WriteCondition): Readonly<Record<string, string>> {
  if (condition.kind === 'absent') return { 'If-None-Match': '*' };
  return condition.kind === 'matches' ? { 'If-Match': `"${condition.etag}"` } : {};
}

async function conditional(key: string, write: () => Promise<string>): Promise<WriteResult> {
  return translate(key, async () => {
    try {
      return { ok: true, etag: await write() };
    } catch (error) {
      // 412; two conditional writes at the same instant may also be told 409, and an If-Match on nothing 404.
      const refusals = ['PreconditionFailed', 'ConditionalRequestConflict', 'NoSuchKey'];
      if (refusals.includes(codeOf(error) ?? '')) return { ok: false };
      throw error;
    }
  });
}

async function* objectsUnder(client: Client, bucket: string, prefix: string): AsyncGenerator<StoredObject> {
  try {
    yield* listObjects(client, bucket, prefix);
  } catch (error) {
    throw new ObjectStoreError(prefix, { cause: error });
  }
}

async function ignoreAbsence<T>(read: Promise<T>): Promise<T | null> {
  try {
    return await read;
  } catch (error) {
    if (['NoSuchKey', 'NotFound'].includes(codeOf(error) ?? '')) return null;
    throw error;
  }
}

async function translate<T>(key: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw new ObjectStoreError(key, { cause: error });
  }
}
