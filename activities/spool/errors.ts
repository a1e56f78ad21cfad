/** A file that is larger than a worker fetches: another attempt would only fetch it again. */
export class OutputTooLargeError extends Error {
  override readonly name = 'OutputTooLargeError';

  constructor(from: string, maxBytes: number) {
    super(`${from} has more than ${maxBytes} bytes`);
  }
}
