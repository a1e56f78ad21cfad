import type { FetchOutput } from '../spool/spool.js';
import { FalFileRefusedError, NoFalKeyError } from './errors.js';
import type { FalClient } from './fal-client.js';

/** Outputs of requests on fal.ai, from where it keeps them. */
export function createFetchFalOutput(fal: FalClient | null): FetchOutput {
  return async ({ reference: { url } }, path, signal) => {
    if (fal === null) throw new NoFalKeyError();
    if (url === undefined) throw new FalFileRefusedError('The output has no address');
    return fal.download({ url, path, signal });
  };
}
