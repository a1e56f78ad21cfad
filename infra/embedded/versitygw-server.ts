import { mkdirSync } from 'node:fs';
import { ensureBucket } from './ensure-bucket.js';
import type { StoreRequest } from './minio-server.js';
import type { ProcessSpec } from './processes/process-spec.js';
import { untilAnswers } from './until-answers.js';

/**
 * versitygw on loopback with one bucket. Types, ETags and checksums lie in extended attributes, which it sets before an
 * object gets its name: a file system without them is refused at the start, and the sidecar folder that it knows for
 * such ones would let an object be seen without its ETag.
 */
export function versitygwServer(request: StoreRequest): ProcessSpec {
  mkdirSync(request.folder, { recursive: true });
  return {
    name: 'versitygw',
    command: request.program,
    args: ['--port', request.storage.endpoint.host, '--quiet', '--keep-alive', 'posix', request.folder],
    env: {
      HOME: request.home,
      ROOT_ACCESS_KEY: request.storage.accessKeyId,
      ROOT_SECRET_KEY: request.storage.secretAccessKey,
      VGW_REGION: request.storage.region,
    },
    marker: request.folder,
    speaksIpc: false,
    stopSignal: 'SIGTERM',
    stopWithinMs: 10_000,
    readyWithinMs: 60_000,
    untilReady: (_running, signal) => untilAnswers(() => ensureBucket(request.storage), signal),
  };
}
