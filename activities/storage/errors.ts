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

/** An answer that the minio client would hide; a proxy between that knows no S3 is understood by its status. */
export class StoreAnswerError extends Error {
  override readonly name = 'StoreAnswerError';
  readonly code: string;

  constructor(status: number, told: { readonly code: string | undefined; readonly message: string | undefined }) {
    const code = told.code ?? CODE_BY_STATUS[status] ?? `HTTP ${status}`;
    super(`it answered ${status} ${code}${told.message === undefined ? '' : `: ${told.message}`}`);
    this.code = code;
  }
}

const CODE_BY_STATUS: Readonly<Record<number, string>> = { 413: 'EntityTooLarge', 507: 'InsufficientStorage' };

/** MinIO's disk and quota, versitygw's disk and quota; Amazon's S3 is never full. */
const FULL = ['XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded', 'InsufficientStorage', 'QuotaExceeded'];

/** Why an object could not be stored, where the store's code says more than that it did not work. */
export function refusalOf({ code }: ObjectStoreError): 'full' | 'too_large' | null {
  if (code === 'EntityTooLarge') return 'too_large';
  return FULL.includes(code ?? '') ? 'full' : null;
}

/** The S3 error code of a minio client error, or Node's code of a connection error. */
export function codeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
