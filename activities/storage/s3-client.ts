import { Client } from 'minio';
import type { StorageConfig } from '../../infra/runtime/storage-config.js';
import { createBoundedTransport } from './bounded-transport.js';

/** The minio client at one of the store's addresses, without retries of its own: those are Temporal's. */
export function createS3Client(config: StorageConfig, endpoint: URL): Client {
  const isSecure = endpoint.protocol === 'https:';
  return new Client({
    endPoint: endpoint.hostname,
    port: endpoint.port === '' ? (isSecure ? 443 : 80) : Number(endpoint.port),
    useSSL: isSecure,
    accessKey: config.accessKeyId,
    secretKey: config.secretAccessKey,
    region: config.region, // known, so that signing asks nobody
    pathStyle: true,
    transport: createBoundedTransport({ isSecure }),
    retryOptions: { disableRetry: true },
  });
}
