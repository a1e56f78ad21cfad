import { ConfigError, stringFrom } from '../runtime/env.js';
import type { Env } from '../runtime/env.js';
import { storageConfigFrom } from '../runtime/storage-config.js';
import { minioServer } from './minio-server.js';
import type { ProcessContext, ProcessSpec } from './processes/process-spec.js';
import { MINIO, VERSITYGW } from './programs/known-programs.js';
import { secretsOf } from './secrets.js';
import { versitygwServer } from './versitygw-server.js';

const STORES = [
  { name: 'minio', program: MINIO, server: minioServer },
  { name: 'versitygw', program: VERSITYGW, server: versitygwServer },
] as const;

/** An S3 server that can be started here. */
export type EmbeddedStore = (typeof STORES)[number];

/** `OBJECT_STORE`: which one is started where `S3_ENDPOINT` names none. They keep their objects apart. */
export function embeddedStoreFrom(env: Env): EmbeddedStore {
  const text = stringFrom(env, 'OBJECT_STORE', 'minio');
  const store = STORES.find(({ name }) => name === text);
  if (store !== undefined) return store;
  const allowed = STORES.map(({ name }) => name).join(' or ');
  throw new ConfigError(`OBJECT_STORE is "${text}", but must be ${allowed}; for any other S3 server set S3_ENDPOINT`);
}

/** How the server is run, and the settings by which ours find it. */
export function storePart(
  { context, env }: { readonly context: ProcessContext; readonly env: Env },
  { choice, program, port }: { readonly choice: EmbeddedStore; readonly program: string; readonly port: number },
): { readonly spec: ProcessSpec; readonly env: Env } {
  const { minioUser, minioPassword } = secretsOf(context.folder);
  const storageEnv: Env = {
    S3_ENDPOINT: `http://127.0.0.1:${port}`,
    S3_ACCESS_KEY_ID: minioUser,
    S3_SECRET_ACCESS_KEY: minioPassword,
    S3_BUCKET: stringFrom(env, 'S3_BUCKET', 'durable-comfy'),
    S3_REGION: stringFrom(env, 'S3_REGION', 'us-east-1'),
  };
  const spec = choice.server({
    program,
    folder: context.folder.path(choice.name),
    home: context.folder.root,
    storage: storageConfigFrom(storageEnv),
  });
  return { spec, env: storageEnv };
}
