import { Client } from 'minio';
import type { StorageConfig } from '../../../infra/runtime/storage-config.js';

/** The checker's own way into the store: nothing of it goes through our code. */
export function storeClient(storage: StorageConfig): Client {
  return new Client({
    endPoint: storage.endpoint.hostname,
    port: Number(storage.endpoint.port),
    useSSL: false,
    accessKey: storage.accessKeyId,
    secretKey: storage.secretAccessKey,
    region: storage.region,
  });
}

export async function keysIn(client: Client, bucket: string, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { name } of client.listObjectsV2(bucket, prefix, true) as AsyncIterable<{ name?: string }>) {
    if (name !== undefined) keys.push(name);
  }
  return keys;
}
