import type { DownloadLinkConfig } from '../../infra/runtime/download-link-config.js';
import type { StorageConfig } from '../../infra/runtime/storage-config.js';
import { createS3Client } from './s3-client.js';

/** A form that a caller sends to the store itself: the fields first, then the file in the field `file`. */
export interface UploadForm {
  readonly url: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly expiresAt: Date;
}

/** For one object of exactly so many bytes: the store refuses any other. */
export type CreateUploadForm = (key: string, bytes: number) => Promise<UploadForm>;

/** A form, because its policy bounds the size; a presigned PUT could be given any. Signing makes no request. */
export function createUploadForms(storage: StorageConfig, config: DownloadLinkConfig): CreateUploadForm {
  const client = createS3Client(storage, config.endpoint);
  return async (key, bytes) => {
    const expiresAt = new Date(Date.now() + config.lifetimeSeconds * 1_000);
    const policy = client.newPostPolicy();
    policy.setBucket(storage.bucket);
    policy.setKey(key);
    policy.setContentLengthRange(bytes, bytes);
    policy.setExpires(expiresAt);
    const { postURL, formData } = await client.presignedPostPolicy(policy);
    return { url: postURL, fields: formData, expiresAt };
  };
}
