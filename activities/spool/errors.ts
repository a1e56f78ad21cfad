import type { MediaFault } from '../../workflows/domain/media-signature.js';

/** What a file is called that was asked for and did not arrive whole, however often. */
export type TransferFault = Extract<MediaFault, 'missing' | 'empty' | 'transfer_failed'>;

/** A file that is larger than a worker fetches: another attempt would only fetch it again. */
export class OutputTooLargeError extends Error {
  override readonly name = 'OutputTooLargeError';

  constructor(from: string, maxBytes: number) {
    super(`${from} has more than ${maxBytes} bytes`);
  }
}
