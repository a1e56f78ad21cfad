import type { DownloadLinkConfig } from '../../infra/runtime/download-link-config.js';
import type { StorageConfig } from '../../infra/runtime/storage-config.js';
import { createS3Client } from './s3-client.js';

export interface DownloadLink {
  readonly url: string;
  readonly expiresAt: Date;
}

/** What the store must answer with, whatever the object itself says. */
export interface PinnedHeaders {
  readonly mediaType: string;
  readonly disposition: string;
}

/**
 * Presigned addresses of objects. They are made for one answer and kept nowhere: whoever has one has the file until it
 * expires.
 */
export type CreateDownloadLink = (key: string, pinned: PinnedHeaders) => Promise<DownloadLink>;

/** Signing is arithmetic: no request is made, and nothing says whether the object exists. */
export function createDownloadLinks(storage: StorageConfig, config: DownloadLinkConfig): CreateDownloadLink {
  const { endpoint, lifetimeSeconds } = config;
  const client = createS3Client(storage, endpoint);
  return async (key, { mediaType, disposition }) => {
    const signedAt = new Date();
    signedAt.setMilliseconds(0); // a signature knows whole seconds
    const pinned = { 'response-content-type': mediaType, 'response-content-disposition': disposition };
    const url = await client.presignedGetObject(storage.bucket, key, lifetimeSeconds, pinned, signedAt);
    return { url, expiresAt: new Date(signedAt.getTime() + lifetimeSeconds * 1_000) };
  };
}
