import { mkdirSync } from 'node:fs';
import type { StorageConfig } from '../runtime/storage-config.js';
import { ensureBucket } from './ensure-bucket.js';
import type { ProcessSpec } from './processes/process-spec.js';
import { untilAnswers } from './until-answers.js';

/** What one S3 server of ours needs to know. */
export interface StoreRequest {
  readonly program: string;
  readonly folder: string;
  readonly storage: StorageConfig;
  readonly home: string;
}

/** MinIO on loopback with one bucket. Nothing here depends on more than S3; any other server fits `S3_ENDPOINT`. */
export function minioServer(request: StoreRequest): ProcessSpec {
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
