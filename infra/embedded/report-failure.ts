import { ConfigError } from '../runtime/env.js';
import { EmbeddedError } from './embedded-error.js';

/** Sets exit code 1 and prints the reason: only the message of an error that is written for users, else the stack. */
export function reportFailure(ownProcess: NodeJS.Process, error: unknown): void {
  const isForReaders = error instanceof EmbeddedError || error instanceof ConfigError;
  ownProcess.stderr.write(`${isForReaders ? error.message : String(error instanceof Error ? error.stack : error)}\n`);
  ownProcess.exitCode = 1;
}
