import { stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import { storageConfigFrom } from '../runtime/storage-config.js';
import type { FoundStore, StoreName } from './embedded-stores.js';
import { minioServer } from './minio-server.js';
import type { StoreRequest } from './minio-server.js';
import type { ProcessContext, ProcessSpec } from './processes/process-spec.js';
import { secretsOf } from './secrets.js';
import { versitygwServer } from './versitygw-server.js';

const SERVERS: Readonly<Record<StoreName, (request: StoreRequest) => ProcessSpec>> = {
  minio: minioServer,
  versitygw: versitygwServer,
};

/** How the server is run, and the settings by which ours find it. */
export function storePart(
  { context, env }: { readonly context: ProcessContext; readonly env: Env },
  { name, program, port }: FoundStore & { readonly port: number },
): { readonly spec: ProcessSpec; readonly env: Env } {
  const { minioUser, minioPassword } = secretsOf(context.folder);
  const storageEnv: Env = {
    S3_ENDPOINT: `http://127.0.0.1:${port}`,
    S3_ACCESS_KEY_ID: minioUser,
    S3_SECRET_ACCESS_KEY: minioPassword,
    S3_BUCKET: stringFrom(env, 'S3_BUCKET', 'durable-comfy'),
    S3_REGION: stringFrom(env, 'S3_REGION', 'us-east-1'),
  };
  const spec = SERVERS[name]({
    program,
    folder: context.folder.path(name),
    home: context.folder.root,
    storage: storageConfigFrom(storageEnv),
  });
  return { spec, env: { ...storageEnv, OBJECT_STORE: name } };
}
