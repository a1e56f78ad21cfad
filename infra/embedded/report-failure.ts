import { ConfigError } from '../runtime/env.js';
import { EmbeddedError } from './embedded-error.js';

/** Exit code 1 and the reason: a sentence where it was written for readers, else a stack. */
export function reportFailure(ownProcess: NodeJS.Process, error: unknown): void {
  const isForReaders = error instanceof EmbeddedError || error instanceof ConfigError;
  ownProcess.stderr.write(`${isForReaders ? error.message : String(error instanceof Error ? error.stack : error)}\n`);
  ownProcess.exitCode = 1;
}
