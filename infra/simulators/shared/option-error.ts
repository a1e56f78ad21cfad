/** An option that cannot be used; the message names the option and what is allowed. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}
