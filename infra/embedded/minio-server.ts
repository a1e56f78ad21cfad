import { mkdirSync } from 'node:fs';
import { Client } from 'minio';
import type { StorageConfig } from '../runtime/storage-config.js';
import type { ProcessSpec } from './processes/process-spec.js';
import { untilAnswers } from './until-answers.js';

export interface MinioRequest {
  readonly program: string;
  readonly folder: string;
  readonly storage: StorageConfig;
  readonly home: string;
}

/** MinIO on loopback with one bucket. Nothing here depends on more than S3; any other server fits `S3_ENDPOINT`. */
export function minioServer(request: MinioRequest): ProcessSpec {
  mkdirSync(request.folder, { recursive: true });
  return {
    name: 'minio',
    command: request.program,
    args: ['server', '--address', request.storage.endpoint.host, '--quiet', request.folder],
    env: {
      HOME: request.home, // it keeps certificates there and nothing else of ours
      MINIO_ROOT_USER: request.storage.accessKeyId,
      MINIO_ROOT_PASSWORD: request.storage.secretAccessKey,
      MINIO_REGION: request.storage.region,
      MINIO_BROWSER: 'off', // without it no console port is opened at all
      MINIO_UPDATE: 'off',
    },
    marker: request.folder,
    speaksIpc: false,
    stopSignal: 'SIGTERM',
    stopWithinMs: 10_000,
    readyWithinMs: 60_000,
    untilReady: (_running, signal) => untilAnswers(() => ensureBucket(request.storage), signal),
  };
}

async function ensureBucket(storage: StorageConfig): Promise<void> {
  const client = new Client({
    endPoint: storage.endpoint.hostname,
    port: Number(storage.endpoint.port),
    useSSL: false,
    accessKey: storage.accessKeyId,
    secretKey: storage.secretAccessKey,
    region: storage.region,
    retryOptions: { disableRetry: true }, // who calls this asks again, and in silence
  });
  if (!(await client.bucketExists(storage.bucket))) await client.makeBucket(storage.bucket, storage.region);
}
