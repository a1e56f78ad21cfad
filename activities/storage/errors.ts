/** The object store refused or did not answer; the cause says which. */
export class ObjectStoreError extends Error {
  override readonly name = 'ObjectStoreError';
  readonly key: string;
  /** S3's own code, for example `XMinioStorageFull`; `null` when nothing answered. */
  readonly code: string | null;

  constructor(key: string, options: { readonly cause: unknown }) {
    const reason = options.cause instanceof Error ? options.cause.message : String(options.cause);
    super(`The object store could not serve ${key}: ${reason}`, options);
    this.key = key;
    this.code = codeOf(options.cause);
  }
}

/** The S3 error code of a minio client error, or Node's code of a connection error. */
export function codeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
