import type { FetchOutput } from '../spool/spool.js';
import { FalFileRefusedError, NoFalKeyError } from './errors.js';
import type { FalClient } from './fal-client.js';

/** Outputs of requests on fal.ai, from where it keeps them. */
export function createFetchFalOutput(deps: {
  /** `null`: no key is set. */
  readonly fal: FalClient | null;
  readonly downloadMs: number;
}): FetchOutput {
  const { fal, downloadMs } = deps;
  return async ({ reference: { url } }, path, signal) => {
    if (fal === null) throw new NoFalKeyError();
    if (url === undefined) throw new FalFileRefusedError('The output has no address');
    return fal.download({ url, path, signal, totalMs: downloadMs });
  };
}
