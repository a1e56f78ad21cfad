/** Something the person at the terminal can put right: its message is shown without a stack trace. */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError';
}
