/** What went wrong, for the person at the terminal: no stack, exit code 2. */
export class CliError extends Error {
  override readonly name = 'CliError';
}
