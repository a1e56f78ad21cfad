import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { KnownProgram } from './known-programs.js';

const ANSWER_WITHIN_MS = 20_000;

/** Why the program at this path cannot be used, or `null` when it can. */
export async function objectionToProgram(program: KnownProgram, path: string): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: ANSWER_WITHIN_MS });
    return program.objectionTo(stdout);
  } catch (error) {
    return `does not run: ${error instanceof Error ? error.message.trim() : String(error)}`;
  }
}
