import { Client } from 'minio';
import type { StorageConfig } from '../runtime/storage-config.js';

/** Creates the bucket of a server on loopback; fails while that does not answer. */
export async function ensureBucket(storage: StorageConfig): Promise<void> {
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
