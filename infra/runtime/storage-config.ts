import { ConfigError, stringFrom } from './env.js';
import type { Env } from './env.js';

/** An S3-compatible object store. */
export interface StorageConfig {
  readonly endpoint: URL;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly bucket: string;
  readonly region: string;
}

/** `S3_ENDPOINT`, `S3_ACCESS_KEY_ID`, `S3_SECRET_ACCESS_KEY`, `S3_BUCKET`, `S3_REGION`. */
export function storageConfigFrom(env: Env): StorageConfig {
  return {
    endpoint: endpointFrom(env),
    accessKeyId: required(env, 'S3_ACCESS_KEY_ID'),
    secretAccessKey: required(env, 'S3_SECRET_ACCESS_KEY'),
    bucket: stringFrom(env, 'S3_BUCKET', 'durable-comfy'),
    region: stringFrom(env, 'S3_REGION', 'us-east-1'),
  };
}

function endpointFrom(env: Env): URL {
  const text = required(env, 'S3_ENDPOINT');
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new ConfigError(`S3_ENDPOINT is "${text}", but must be an address such as http://127.0.0.1:9000`);
  }
  return new URL(text);
}

function required(env: Env, name: string): string {
  const value = stringFrom(env, name, '');
  if (value === '') throw new ConfigError(`${name} is not set. "npm start" sets it; a process started alone needs it`);
  return value;
}
