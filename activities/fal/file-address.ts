import { FalFileRefusedError } from './errors.js';

const FAL_DOMAINS = ['fal.media', 'fal.ai'] as const;

/**
 * The address of a result file, if it is one of fal's: https at fal.media or fal.ai, or the very origin of the queue. An
 * answer must not be able to make this worker fetch from anywhere else, such as the network that it is in.
 */
export function checkedFileUrl(text: string, queueUrl: string): URL {
  if (!URL.canParse(text)) throw new FalFileRefusedError('The result names a file without an address');
  const url = new URL(text);
  const hasUser = url.username !== '' || url.password !== '';
  if (url.origin === new URL(queueUrl).origin && !hasUser) return url;
  const isFal = FAL_DOMAINS.some((domain) => url.hostname === domain || url.hostname.endsWith(`.${domain}`));
  if (isFal && url.protocol === 'https:' && url.port === '' && !hasUser) return url;
  const place = url.host === '' ? url.protocol : `${url.protocol}//${url.host}`;
  throw new FalFileRefusedError(
    `The result names a file at ${place.slice(0, 100)}, which is none of fal.ai's addresses`,
  );
}
