import { ConfigError, integerFrom, stringFrom } from './env.js';
import type { Env } from './env.js';

/** Links by which callers fetch results from the object store itself. */
export interface DownloadLinkConfig {
  /** The store's address as callers reach it: the signature of a link covers it. */
  readonly endpoint: URL;
  readonly lifetimeSeconds: number;
}

/** Whoever has a link has the file, and nobody can take it back: five minutes are enough to begin a download. */
const MAX_LIFETIME_SECONDS = 300;

/** `S3_PUBLIC_ENDPOINT`, `DOWNLOAD_LINK_SECONDS`; `null` without the first. */
export function downloadLinkConfigFrom(env: Env): DownloadLinkConfig | null {
  const lifetimeSeconds = integerFrom(env, 'DOWNLOAD_LINK_SECONDS', {
    ...{ fallback: MAX_LIFETIME_SECONDS, min: 1, max: MAX_LIFETIME_SECONDS },
  });
  const text = stringFrom(env, 'S3_PUBLIC_ENDPOINT', '');
  if (text === '') return null;
  if (isOrigin(text)) return { endpoint: new URL(text), lifetimeSeconds };
  throw new ConfigError(
    'S3_PUBLIC_ENDPOINT must be an address such as https://files.example.com, without a path (the signature of a link ' +
      'covers the path as the store sees it), a query or credentials',
  );
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search, hash, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && pathname === '/' && `${search}${hash}${username}${password}` === '';
}
